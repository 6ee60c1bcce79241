"""Decryption of providers' envelopes."""

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

_PADDING = PKCS7(AES.block_size)


def decrypt_cbc(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """Return the plaintext of AES-CBC with PKCS#7 padding; raise ValueError if the padding is wrong."""
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    unpadder = _PADDING.unpadder()
    return unpadder.update(padded) + unpadder.finalize()
