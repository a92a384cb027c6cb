"""What travels between hospitals is read strictly: requests, parcels, invitations."""

import json
from dataclasses import replace

import pytest

from concura.canonical import decode, encode
from concura.errors import InvitationInvalid, ReplyInvalid
from concura.hospital import Invitation, read_invitation
from concura.sharing import RecordRequest, decode_request, encode_request, open_parcel, pack
from concura.testing.town import Town


def test_a_request_and_a_parcel_are_read_back_as_they_were():
    request = RecordRequest("urn:系统", "7")
    assert decode_request(encode_request(request)) == request
    resources = [{"resourceType": "Patient", "id": "p", "name": [{"family": "名"}]}]
    assert open_parcel(pack(resources)) == resources
    assert open_parcel(pack([])) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'"text"',
        b'{"system":"a","v":1}',
        b'{"system":"a","v":2,"value":"b"}',
        b'{"system":7,"v":1,"value":"b"}',
        b'{"system":"a","v":1,"value":null}',
        b'{"system":"a","v":1,"value":"b","x":1}',
        b'{"v":1,"system":"a","value":"b"}',
        b'{"system":"' + b"a" * 257 + b'","v":1,"value":"b"}',
        b"\xff",
    ],
)
def test_what_is_no_request_is_refused(data):
    with pytest.raises(ReplyInvalid):
        decode_request(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b"{}",
        b'"entry"',
        b"[" * 100_000,
        b'{"resourceType":"Bundle","type":"collection"}',
        b'{"resourceType":"Bundle","type":"collection","entry":{}}',
        b'{"resourceType":"Bundle","type":"collection","entry":"x"}',
        b'{"resourceType":"Bundle","type":"collection","entry":[{}]}',
        b'{"resourceType":"Bundle","type":"collection","entry":[7]}',
        b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":7}]}',
        b'{"resourceType":"Bundle","type":"transaction","entry":[]}',
        b'{"resourceType":"Patient","type":"collection","entry":[]}',
    ],
)
def test_what_is_no_parcel_is_refused(data):
    with pytest.raises(ReplyInvalid):
        open_parcel(data)


def test_a_parcel_of_too_many_resources_is_refused(monkeypatch):
    monkeypatch.setattr("concura.sharing.parcel._ENTRIES_MAX", 2)
    assert len(open_parcel(pack([{}, {}]))) == 2
    with pytest.raises(ReplyInvalid):
        open_parcel(pack([{}, {}, {}]))


@pytest.fixture(scope="module")
def invitation():
    genesis = Town.found(1).genesis
    return Invitation("https://hub.example:1", genesis.hub_authority, genesis)


def test_an_invitation_is_read_back_with_or_without_a_final_newline(invitation):
    data = invitation.encode()
    assert read_invitation(data) == read_invitation(data + b"\n") == invitation
    assert len(invitation.words.split()) == 8


def test_a_changed_invitation_is_refused(invitation):
    good = decode(invitation.encode())
    other = replace(invitation.genesis, name="Another town")
    for change in [
        {"v": 2},
        {"words": "lusab babad"},
        {"genesis": good["genesis"][:-4]},
        {"genesis": 7},
        {"authority": good["authority"][:-4]},
        {"extra": 1},
        decode(Invitation("x", other.hub_authority, other).encode()) | {"words": good["words"]},
    ]:
        with pytest.raises(InvitationInvalid):
            read_invitation(encode(good | change))
    for data in (b"", b"{}", b"[]", b"7", json.dumps(good, indent=1).encode()):
        with pytest.raises(InvitationInvalid):
            read_invitation(data)
