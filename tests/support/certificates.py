"""Certificates that nobody has signed but themselves."""
import subprocess

PROGRAM = "openssl"
INSTALL = "apt-get install openssl"


def make(folder, name="server"):
    """One for 127.0.0.1; answers the paths of the certificate and of its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run([PROGRAM, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key
