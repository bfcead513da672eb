"""Check the signature of a webhook from Wrenfield Lockers.

    verify(body, header, secret)     True, or raises BadSignature with the reason

Free to copy into your own program.
"""
import hashlib
import hmac
import time

# Calls older or newer than this are refused: somebody may be replaying them.
TOLERANCE_S = 300


class BadSignature(Exception):
    """The call isn't from us, or was changed on its way."""


def parse_header(header):
    """Return time and hex digest of `t=1767600000,v1=9f86d0...`."""
    fields = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    if "t" not in fields or "v1" not in fields:
        raise BadSignature("the header has no t or no v1")
    return int(fields["t"]), fields["v1"]


def verify(body, header, secret, now=None):
    """Compare in constant time, so that nobody can guess the digest byte by byte.

    body    the bytes as they came, before any JSON parser touched them
    secret  the text from the portal, with its prefix `whsec_`
    """
    sent_at, digest = parse_header(header)
    now = time.time() if now is None else now
    if abs(now - sent_at) > TOLERANCE_S:
        raise BadSignature("the call is more than five minutes old")
    expected = hmac.new(secret.encode(), f"{sent_at}.".encode() + body, hashlib.sha256)
    if not hmac.compare_digest(expected.hexdigest(), digest):
        raise BadSignature("the digest differs: wrong secret, or the body was parsed first")
    return True
