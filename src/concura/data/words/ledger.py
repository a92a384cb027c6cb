"""Words of the ledger area: one sentence for each rule of the contract and each step of a check."""

WORDS: dict[str, tuple[str, str]] = {
    # The gate before the contract.
    "error.entry.entry.malformed": (
        "The entry is not in its canonical form, or has unknown or missing members.",
        "条目不是规范形式，或有未知或缺失的成员。",
    ),
    "error.entry.entry.size": (
        "The entry is larger than a ledger entry may be.",
        "条目超过账本条目的大小上限。",
    ),
    "error.entry.entry.chain": ("The entry was made for another ledger.", "该条目属于另一个账本。"),
    "error.entry.entry.time": (
        "The entry's time is more than a minute away from this clock.",
        "条目的时间与本机时钟相差超过一分钟。",
    ),
    "error.entry.entry.time.hint": (
        "Set the clock of both machines (for example by NTP) and enter it again.",
        "请校准两台机器的时钟（例如用 NTP），然后重新提交。",
    ),
    "error.entry.entry.key": (
        "The entry is not signed with the key on its author's card.",
        "条目不是用作者卡片上的密钥签名的。",
    ),
    "error.entry.entry.signature": (
        "The entry's signature does not verify.",
        "条目的签名未通过验证。",
    ),
    "error.entry.entry.duplicate": (
        "The entry already stands on the ledger.",
        "该条目已在账本上。",
    ),
    "error.entry.type.unknown": (
        "The ledger knows no entries of this type.",
        "账本没有这种类型的条目。",
    ),
    "error.entry.body.malformed": (
        "The entry's body does not have the members of its type.",
        "条目正文与其类型不符。",
    ),
    # Members.
    "error.entry.card.malformed": (
        "The member's card is not complete and in its form.",
        "成员卡片不完整或格式不对。",
    ),
    "error.entry.card.key": (
        "A key on the member's card is too short, oddly encoded, or used twice.",
        "成员卡片上的密钥过短、编码异常或重复使用。",
    ),
    "error.entry.consortium.founded": ("The consortium is founded already.", "联盟已经成立。"),
    "error.entry.consortium.malformed": (
        "Two founders share an id or a key, or the quorum is too large.",
        "两个创始成员的标识或密钥相同，或法定人数过大。",
    ),
    "error.entry.member.not-active": ("Its author is not an active member.", "作者不是有效成员。"),
    "error.entry.member.not-active.hint": (
        "Wait until enough members have admitted it; see `concura status`.",
        "请等待足够的成员接纳；参见 `concura status`。",
    ),
    "error.entry.member.not-author": (
        "A member may apply for itself only.",
        "成员只能为自己申请。",
    ),
    "error.entry.member.exists": (
        "This id belongs to a member, or this application was made already.",
        "该标识已属于某成员，或已提交过同样的申请。",
    ),
    "error.entry.member.unknown": (
        "No such member, or no such application.",
        "没有这个成员或申请。",
    ),
    "error.entry.member.key-taken": (
        "One of the keys belongs to a member already.",
        "其中一把密钥已属于某成员。",
    ),
    "error.entry.member.voted": (
        "This member has voted for the application already.",
        "该成员已对此申请投过票。",
    ),
    "error.entry.member.too-many": (
        "The consortium has as many members as it can have.",
        "联盟成员已达上限。",
    ),
    # Consents.
    "error.entry.consent.exists": (
        "A consent with this id exists already.",
        "已存在该标识的同意。",
    ),
    "error.entry.consent.unknown": (
        "No such consent stands on the ledger.",
        "账本上没有这项同意。",
    ),
    "error.entry.consent.unknown.hint": (
        "Ask the patient, or the hospital that holds the record, for a consent.",
        "请向患者或持有记录的医院取得同意。",
    ),
    "error.entry.consent.not-holder": (
        "Only the hospital that holds the data may use or change this consent.",
        "只有持有数据的医院可以使用或更改此同意。",
    ),
    "error.entry.consent.reader": (
        "The consent names another reader.",
        "该同意指定了另一个读取方。",
    ),
    "error.entry.consent.purpose": (
        "The consent was given for another purpose.",
        "该同意是为另一目的给出的。",
    ),
    "error.entry.consent.not-active": ("The consent was revoked.", "该同意已被撤销。"),
    "error.entry.consent.not-active.hint": (
        "Ask the patient for a new consent.",
        "请向患者取得新的同意。",
    ),
    "error.entry.consent.expired": (
        "The consent has expired, or would be expired from the start.",
        "该同意已过期，或一开始就已过期。",
    ),
    "error.entry.consent.expired.hint": (
        "Ask the patient for a new consent.",
        "请向患者取得新的同意。",
    ),
    # Transfers.
    "error.entry.transfer.self": (
        "A member cannot request a record from itself.",
        "成员不能向自己请求记录。",
    ),
    "error.entry.transfer.exists": (
        "A transfer with this id exists already.",
        "已存在该标识的传输。",
    ),
    "error.entry.transfer.unknown": (
        "No such transfer stands on the ledger.",
        "账本上没有这项传输。",
    ),
    "error.entry.transfer.not-holder": (
        "Only the hospital that was asked may answer this request.",
        "只有被请求的医院可以答复此请求。",
    ),
    "error.entry.transfer.not-reader": (
        "Only the hospital that asked may acknowledge this transfer.",
        "只有请求方医院可以确认此传输。",
    ),
    "error.entry.transfer.state": (
        "The transfer is not at the step that this entry belongs to.",
        "传输尚未处于或已过此条目对应的步骤。",
    ),
    "error.entry.transfer.digest": (
        "What arrived is not what was offered.",
        "收到的内容与所提供的不一致。",
    ),
    # Studies.
    "error.entry.study.minimum": (
        "A study needs at least three contributors, and no more than take part.",
        "研究至少需要三个贡献方，且不多于参与方数量。",
    ),
    "error.entry.study.exists": ("A study with this id exists already.", "已存在该标识的研究。"),
    "error.entry.study.unknown": ("No such study stands on the ledger.", "账本上没有这项研究。"),
    "error.entry.study.not-author": (
        "Only the member that opened the study may do this.",
        "只有开启该研究的成员可以这样做。",
    ),
    "error.entry.study.state": ("The study has ended.", "该研究已结束。"),
    "error.entry.round.order": ("Rounds must follow each other without a gap.", "轮次必须连续。"),
    "error.entry.round.participants": (
        "The round names strangers, or fewer contributors than the study's minimum.",
        "该轮含有非参与方，或贡献方少于研究的下限。",
    ),
    "error.entry.model.no-round": (
        "A model cannot be published before a round was closed.",
        "在完成一轮之前不能发布模型。",
    ),
    "error.entry.model.exists": ("This model was published already.", "该模型已发布。"),
    "error.entry.anchor.size": ("An access log cannot become shorter.", "访问日志不能变短。"),
    # Chain, checkpoints, receipts, bundles.
    "error.chain.chain": (
        "{where} belongs to another ledger, or to another version.",
        "{where} 属于另一个账本或另一个版本。",
    ),
    "error.chain.height": (
        "{where} does not stand at its place in the chain.",
        "{where} 不在链中应有的位置。",
    ),
    "error.chain.previous": (
        "{where} does not stand on the block before it.",
        "{where} 没有接在前一个区块之后。",
    ),
    "error.chain.timestamp": (
        "{where} has a time before the last block, or ahead of this clock.",
        "{where} 的时间早于上一区块，或超前于本机时钟。",
    ),
    "error.chain.count": (
        "{where} does not hold as many entries as it says.",
        "{where} 的条目数与其声明不符。",
    ),
    "error.chain.root": (
        "{where} does not hold the entries that were sealed in it.",
        "{where} 的条目与封存时不一致。",
    ),
    "error.chain.work": (
        "{where} does not carry the work that its hash needs.",
        "{where} 的工作量不足。",
    ),
    "error.chain.sealer": (
        "{where} was sealed by another key than the hub's.",
        "{where} 不是由平台的密钥封存的。",
    ),
    "error.chain.signature": ("{where} is not signed by the hub.", "{where} 没有平台的有效签名。"),
    "error.chain.entry": (
        "{where} breaks a rule of the ledger: {detail}.",
        "{where} 违反账本规则：{detail}。",
    ),
    "error.chain.block.malformed": (
        "{where} cannot be read ({detail}).",
        "无法读取 {where}（{detail}）。",
    ),
    "error.chain.founding": (
        "{where} is not what the founders signed ({detail}).",
        "{where} 与创始成员所签内容不符（{detail}）。",
    ),
    "error.chain.genesis": (
        "The founding document is not usable: {detail}.",
        "创始文件不可用：{detail}。",
    ),
    "error.chain.genesis.hint": (
        "Ask the hub's operator for the founding document again and compare its words by telephone.",
        "请向平台运营者重新索取创始文件，并通过电话核对其词语。",
    ),
    "error.chain.checkpoint.malformed": (
        "The checkpoint cannot be read ({detail}).",
        "无法读取检查点（{detail}）。",
    ),
    "error.chain.checkpoint.origin": (
        "The checkpoint is of another ledger.",
        "该检查点属于另一个账本。",
    ),
    "error.chain.checkpoint.signature": (
        "The checkpoint is not signed by {detail}.",
        "该检查点没有 {detail} 的有效签名。",
    ),
    "error.chain.cosignature": (
        "The co-signature of {detail} does not verify.",
        "{detail} 的共同签名未通过验证。",
    ),
    "error.chain.receipt": (
        "The hub's receipt does not verify ({detail}).",
        "平台的回执未通过验证（{detail}）。",
    ),
    "error.chain.fork": (
        "This is no evidence of two histories ({detail}).",
        "这不能证明存在两个历史（{detail}）。",
    ),
    "error.chain.bundle": (
        "The proof does not verify at: {detail}.",
        "证明在此处未通过验证：{detail}。",
    ),
    "error.chain.bundle.hint": (
        "Ask for the proof again, and check the trust file that you verify it with.",
        "请重新索取证明，并检查用于验证的信任文件。",
    ),
}
