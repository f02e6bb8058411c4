"""Keys and tokens of the lab, made anew for each run: RSA key and JWKS, user tokens, API keys, admin tokens, a
self-signed certificate."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import json
import secrets
import time
from pathlib import Path
from typing import Any

import jwt
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

ISSUER, AUDIENCE, KEY_ID = "starguide", "api", "lab"
PASSWORD = "correct horse battery staple"
ADMIN_ROLES = ("viewer", "operator", "admin")


def _base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def _private_pem(key: Any) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Credentials:
    def __init__(self, folder: Path, users: tuple[str, ...] = ("ada", "grace")) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._write("signing.pem", _private_pem(self.key))
        self.jwks = self._write("jwks.json", json.dumps({"keys": [self._jwk()]}).encode())
        self.api_keys: dict[str, str] = {}  # user → key
        self.api_keys_file = folder / "keys.yaml"
        for user in ("device-1", "device-2"):
            self.api_keys[user] = "sk-" + secrets.token_hex(16)
        hashed = [{"user": u, "sha256": hashlib.sha256(k.encode()).hexdigest()} for u, k in self.api_keys.items()]
        self._write("keys.yaml", yaml.safe_dump({"keys": hashed}).encode())
        self.users_file = self._write("users.yaml", yaml.safe_dump({u: _password_entry() for u in users}).encode())
        self.admin_tokens = {role: secrets.token_urlsafe(24) for role in ADMIN_ROLES}
        entries = [
            {"name": f"lab-{role}", "role": role, "sha256": hashlib.sha256(token.encode()).hexdigest()}
            for role, token in self.admin_tokens.items()
        ]
        self.admin_tokens_file = self._write("tokens.yaml", yaml.safe_dump(entries).encode())

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    def _jwk(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        parts = {"n": _base64url(numbers.n), "e": _base64url(numbers.e)}
        return {"kty": "RSA", "kid": KEY_ID, "alg": "RS256", "use": "sig", **parts}

    @property
    def signing_key_file(self) -> Path:
        return self.folder / "signing.pem"

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def token(self, user: str, lifetime_s: int = 3600, key_id: str = KEY_ID, **claims: Any) -> str:
        now = int(time.time())
        content = {"sub": user, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + lifetime_s, **claims}
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(content, self.key, algorithm="RS256", headers={"kid": key_id})

    def bearer(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user)}"}

    def certificate(self, *addresses: str) -> tuple[Path, Path]:
        """A self-signed certificate for these addresses and "localhost", and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sluice lab")])
        names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses)]
        now = datetime.datetime.utcnow()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, hashes.SHA256())
        )
        return (
            self._write("tls.crt", certificate.public_bytes(serialization.Encoding.PEM)),
            self._write("tls.key", _private_pem(key)),
        )


def _password_entry() -> dict[str, str]:
    salt = secrets.token_bytes(16)
    return {"salt": salt.hex(), "scrypt": hashlib.scrypt(PASSWORD.encode(), salt=salt, n=2048, r=8, p=1).hex()}
