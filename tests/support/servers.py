"""Embedded servers in this process, and waiting for what they do."""

import time

from serving.server import Server, ServerOptions


def serve(models, **options) -> Server:
    return Server(ServerOptions(models=models, address="127.0.0.1:0", **options))


def make_certificates(folder):
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.timezone.utc)
    made, authority = {}, None
    for name in ("authority", "localhost", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer, signer = authority or (subject, key)
        certificate = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(authority is None, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(signer, hashes.SHA256())
        )
        authority = authority or (subject, key)
        made[name] = (folder / f"{name}.pem", folder / f"{name}.key")
        made[name][0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        made[name][1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return made


def wait_until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.01)


def metric(one: Server, name: str, **labels) -> float:
    """The sum of a metric's samples with these labels."""
    samples = (s for m in one.metrics.registry.collect() for s in m.samples if s.name == name)
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


class FakeContext:
    """A call without a deadline, whose caller stays."""

    def time_remaining(self):
        return None

    def add_callback(self, callback):
        return True

    def is_active(self):
        return True
