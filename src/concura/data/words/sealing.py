"""Words of the sealing area: why a sealed record, a key or a certificate is refused."""

WORDS: dict[str, tuple[str, str]] = {
    "error.envelope.key": (
        "A public key is refused: it is none of the consortium's suite (RSA of 3072 to 8192 bits with exponent 65537, a post-quantum key, or SM2) in canonical form.",
        "公钥被拒绝：它不是联盟套件所允许的规范公钥（3072 至 8192 位、指数为 65537 的 RSA，抗量子公钥，或 SM2）。",
    ),
    "error.envelope.key.hint": (
        "Take the member's key from the ledger, never from the hub's directory alone.",
        "请从账本取得成员的公钥，切勿只信任平台的目录。",
    ),
    "error.envelope.parts": (
        "The parts of the record to be sealed do not belong together ({part}).",
        "待密封记录的各部分不一致（{part}）。",
    ),
    "error.envelope.parts.hint": (
        "Draw fresh values and seal the record again; nothing was sent.",
        "请重新生成随机值并再次密封；没有发送任何内容。",
    ),
    "error.envelope.size": (
        "The sealed record is refused at step {step}: it is larger than 64 MiB.",
        "密封记录在第 {step} 步被拒绝：超过 64 MiB。",
    ),
    "error.envelope.size.hint": (
        "Send images and other large objects as sealed large objects, not as records.",
        "影像等大型内容请作为密封大对象发送，而不是作为记录。",
    ),
    "error.envelope.canonical": (
        "The sealed record is refused at step {step}: its bytes are not canonical JSON.",
        "密封记录在第 {step} 步被拒绝：字节不是规范 JSON。",
    ),
    "error.envelope.members": (
        "The sealed record is refused at step {step}: a member is missing or unknown.",
        "密封记录在第 {step} 步被拒绝：缺少字段或含有未知字段。",
    ),
    "error.envelope.encoding": (
        "The sealed record is refused at step {step}: a value is not base64url of the right length.",
        "密封记录在第 {step} 步被拒绝：某个值不是长度正确的 base64url。",
    ),
    "error.envelope.header": (
        "The sealed record is refused at step {step}: its header names another version or other algorithms.",
        "密封记录在第 {step} 步被拒绝：头部写明了其他版本或其他算法。",
    ),
    "error.envelope.header.hint": (
        "Check that both sides run the same version; weaker algorithms are never accepted.",
        "请检查双方版本是否相同；较弱的算法绝不接受。",
    ),
    "error.envelope.policy": (
        "The sealed record is refused at step {step}: a reader has no post-quantum key, and the consortium demands one.",
        "密封记录在第 {step} 步被拒绝：某个接收者没有抗量子密钥，而联盟要求必须有。",
    ),
    "error.envelope.policy.hint": (
        "Let the reader make a post-quantum key and enter it on the ledger, then seal again.",
        "请接收者生成抗量子密钥并登记到账本，然后重新密封。",
    ),
    "error.envelope.recipients": (
        "The sealed record is refused at step {step}: it has no readers, too many, or one of them twice.",
        "密封记录在第 {step} 步被拒绝：没有接收者、接收者过多或重复。",
    ),
    "error.envelope.digest": (
        "The sealed record is refused at step {step}: it is not the one that stands on the ledger.",
        "密封记录在第 {step} 步被拒绝：它不是账本上登记的那一份。",
    ),
    "error.envelope.reader": (
        "The sealed record is refused at step {step}: it was not sealed to this key.",
        "密封记录在第 {step} 步被拒绝：它不是密封给此密钥的。",
    ),
    "error.envelope.reader.hint": (
        "Ask a hospital that can open it to seal it to you; only the ledger's current keys count.",
        "请能打开它的医院重新密封给您；只以账本上的现行公钥为准。",
    ),
    "error.envelope.wrap": (
        "The sealed record is refused at step {step}: its content key cannot be unwrapped.",
        "密封记录在第 {step} 步被拒绝：无法解开内容密钥。",
    ),
    "error.envelope.commitment": (
        "The sealed record is refused at step {step}: the content key is not the one it commits to.",
        "密封记录在第 {step} 步被拒绝：内容密钥与其承诺不符。",
    ),
    "error.envelope.decryption": (
        "The sealed record is refused at step {step}: it was changed after it was sealed.",
        "密封记录在第 {step} 步被拒绝：密封之后被改动过。",
    ),
    "error.envelope.content": (
        "The sealed record is refused at step {step}: the signed content has not its form.",
        "密封记录在第 {step} 步被拒绝：签名内容的格式不正确。",
    ),
    "error.envelope.binding": (
        "The sealed record is refused at step {step}: the content was signed for another envelope.",
        "密封记录在第 {step} 步被拒绝：内容是为另一个信封签名的。",
    ),
    "error.envelope.entries": (
        "The sealed record is refused at step {step}: its readers are not those that the sender signed.",
        "密封记录在第 {step} 步被拒绝：接收者与发送方签名的不符。",
    ),
    "error.envelope.signature": (
        "The sealed record is refused at step {step}: the sender's signature does not verify.",
        "密封记录在第 {step} 步被拒绝：发送方的签名未通过验证。",
    ),
    "error.envelope.context": (
        "The sealed record is refused at step {step}: its {field} is not the one on the ledger.",
        "密封记录在第 {step} 步被拒绝：其 {field} 与账本不符。",
    ),
    "error.envelope.recipient": (
        "The sealed record is refused at step {step}: its sender did not address it to this reader.",
        "密封记录在第 {step} 步被拒绝：发送方并未将其发给此接收者。",
    ),
    "error.envelope.recipient.hint": (
        "Whoever passes a record on must enter that on the ledger first.",
        "转交记录者必须先在账本上登记。",
    ),
    "error.corrupt.row": (
        "A stored row of {file} ({detail}) is not as it was written.",
        "{file} 中存储的一行（{detail}）与写入时不一致。",
    ),
    "error.key.wrapped": (
        "A stored key cannot be unwrapped: it was changed, or belongs to another key store.",
        "存储的密钥无法解开：它被改动过，或属于另一个密钥库。",
    ),
    "error.key.wrapped.hint": (
        "Restore the key table and the key folder from the same backup.",
        "请从同一份备份恢复密钥表和密钥文件夹。",
    ),
    "error.key.missing": ("The key file {file} is missing.", "缺少密钥文件 {file}。"),
    "error.key.missing.hint": (
        "Restore the key folder from its backup; a new key cannot open what was sealed to the old one.",
        "请从备份恢复密钥文件夹；新密钥无法打开密封给旧密钥的内容。",
    ),
    "error.key.readable": (
        "The key file {file} can be read by others (mode {mode}).",
        "密钥文件 {file} 可被他人读取（权限 {mode}）。",
    ),
    "error.key.readable.hint": (
        "Run chmod 600 on the file and chmod 700 on its folder; if others may have read it, rotate the key.",
        "请对文件执行 chmod 600，对其文件夹执行 chmod 700；若他人可能已读取，请更换密钥。",
    ),
    "error.key.owner": (
        "The key file {file} belongs to another user.",
        "密钥文件 {file} 属于其他用户。",
    ),
    "error.key.owner.hint": (
        "Run the node as the user that owns its key folder.",
        "请以拥有密钥文件夹的用户运行节点。",
    ),
    "error.key.garbage": (
        "The key file {file} does not hold the key it should.",
        "密钥文件 {file} 中没有应有的密钥。",
    ),
    "error.key.garbage.hint": (
        "Restore the key folder from its backup.",
        "请从备份恢复密钥文件夹。",
    ),
    "error.key.exists": (
        "The folder {file} already holds something; keys are never overwritten.",
        "文件夹 {file} 中已有内容；密钥绝不会被覆盖。",
    ),
    "error.key.exists.hint": (
        "Open the keys that are there, or name an empty folder.",
        "请打开已有的密钥，或指定一个空文件夹。",
    ),
    "error.key.locked": (
        "The key folder {file} is locked with a passphrase.",
        "密钥文件夹 {file} 已用口令锁定。",
    ),
    "error.key.locked.hint": ("Give its passphrase.", "请提供口令。"),
    "error.key.passphrase": (
        "The passphrase does not open the key folder {file}.",
        "口令无法打开密钥文件夹 {file}。",
    ),
    "error.key.passphrase.hint": (
        "Try again; without the passphrase nobody can open these keys.",
        "请重试；没有口令，任何人都无法打开这些密钥。",
    ),
    "error.certificate.expired": (
        "The certificate of {name} expired on {detail}.",
        "{name} 的证书已于 {detail} 过期。",
    ),
    "error.certificate.expired.hint": (
        "Renew it; its key, and so the entry on the ledger, stays.",
        "请续期；其密钥以及账本上的登记保持不变。",
    ),
    "error.certificate.early": (
        "The certificate of {name} is not valid before {detail}.",
        "{name} 的证书在 {detail} 之前无效。",
    ),
    "error.certificate.early.hint": ("Check this machine's clock.", "请检查本机时钟。"),
    "error.certificate.garbage": (
        "{name} holds no usable certificate.",
        "{name} 中没有可用的证书。",
    ),
    "error.certificate.garbage.hint": (
        "Restore the file, or issue the certificate again.",
        "请恢复该文件，或重新签发证书。",
    ),
    "error.certificate.name": (
        "A certificate cannot be issued for the name {name}.",
        "无法为名称 {name} 签发证书。",
    ),
    "error.certificate.name.hint": (
        "Give DNS names or IP addresses without spaces or port.",
        "请给出不含空格和端口的 DNS 名称或 IP 地址。",
    ),
    "error.config.extra": (
        "{name} needs the Python package {package}, which is not installed.",
        "{name} 需要 Python 软件包 {package}，但尚未安装。",
    ),
    "error.config.extra.hint": (
        "Run `pip install 'concura[{extra}]'`, then run the command again.",
        "请运行 `pip install 'concura[{extra}]'`，然后重新运行命令。",
    ),
    "error.config.suite": (
        "There is no suite {name} with this policy; known suites: {known}; policies: allowed, required.",
        "没有名为 {name} 且采用此策略的套件；可用套件：{known}；策略：allowed、required。",
    ),
    "error.config.suite_pq": (
        "The suite {name} has no post-quantum readers, so they cannot be required.",
        "套件 {name} 没有抗量子接收者，因此不能强制要求。",
    ),
}
