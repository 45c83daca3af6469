"""National ids and bank accounts: by an unmistakable form, by check digits, or by digits beside a word that names them.

The check digits are those of `python-stdnum`. Without it, an id of an unmistakable form is taken by its form, and one
that is digits alone only beside its word.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import Any

from flywheel.capture.redaction.credentials import Found

__all__ = ["ALONE", "BEFORE", "LETTERED", "NAMED", "find_documents", "is_iban", "lettered", "valid"]

ALONE = {
    "000-00-0000": ("us.ssn", "us.itin"),
    "00 000 000 000": ("de.idnr",),
    "0 00 00 00 000 000 00": ("fr.nir",),
    "0 00 00 00 000 000": (),
    "000000000000000": ("fr.nir",),
    "000000-0000": ("se.personnummer",),
    "00000000-0000": ("se.personnummer",),
    "000.000.000-00": ("br.cpf",),
    "000.0000.0000.00": ("ch.ssn",),
    "00.00.00-000.00": ("be.nn",),
    "000000-0000000": ("kr.rrn",),
    "00.000.000-0": ("cl.rut",),
    "00-00000000-0": ("ar.cuit",),
    "000000000000000000": ("cn.ric",),
}
"""The form of a number (each digit a 0) → ids that are told by it and their check digits, with no word beside them."""

NAMED = {
    "ssn": ("us.ssn", "us.itin"),
    "steuer": ("de.idnr",),
    "bsn": ("nl.bsn",),
    "pesel": ("pl.pesel",),
    "personnummer": ("se.personnummer", "no.fodselsnummer", "fi.hetu"),
    "cpr": ("dk.cpr",),
    "cpf": ("br.cpf",),
    "nhs": ("gb.nhs",),
    "nir": ("fr.nir",),
    "aadhaar": ("in_.aadhaar",),
    "sin": ("ca.sin",),
    "tfn": ("au.tfn",),
    "rijksregister": ("be.nn",),
    "ahv": ("ch.ssn",),
    "svnr": ("at.vnr",),
    "nif": ("pt.nif", "es.dni", "es.nie"),
    "kimlik": ("tr.tckimlik",),
    "rut": ("cl.rut",),
    "cnp": ("ro.cnp",),
    "rodne": ("cz.rc",),
    "egn": ("bg.egn",),
    "oib": ("hr.oib",),
    "identity": ("za.idnr", "cn.ric", "ee.ik", "il.idnr", "kr.rrn", "nl.bsn", "pl.pesel", "us.ssn", "de.idnr"),
}
"""Group of words (see `words`) → ids whose digits alone could be anything, and count only beside such a word."""

LETTERED = r"""
      (?<=[A-Za-z][0-9]) (?:
        (?<=(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]) (?=[0-9]) (?= (?P<iban>[0-9](?:\ ?[A-Za-z0-9]){10,30}+) )
      | (?<=(?<![A-Za-z0-9])[A-Z]{2}[0-9]) (?= (?P<nino>[0-9](?:\ ?[0-9]{2}){2}\ ?[A-D])(?![A-Za-z0-9]) )
      | (?<=(?<![A-Za-z0-9])[XYZxyz][0-9]) (?= (?P<nie>[0-9]{6}-?[A-Za-z])(?![A-Za-z0-9]) )
      | (?<=(?<![A-Za-z0-9])[A-Za-z]{6}[0-9]) (?= (?P<fiscale>[0-9L-Vl-v][A-EHLMPRSTa-ehlmprst][0-9L-Vl-v]{2}[A-Za-z]
                                                   [0-9L-Vl-v]{3}[A-Za-z])(?![A-Za-z0-9]) )
      | (?<=(?<![A-Za-z0-9])[A-Z]{4}[0-9]) (?= (?P<curp>[0-9]{5}[HMX][A-Z]{5}[A-Z0-9][0-9])(?![A-Za-z0-9]) )
      )
    | (?<=(?<![A-Za-z0-9])[A-Z]{2}\ [0-9]) (?= (?P<spaced>[0-9](?:\ [0-9]{2}){2}\ [A-D])(?![A-Za-z0-9]) )
    | (?<=(?<![A-Za-z0-9])[XYZxyz]-[0-9]) (?= (?P<dashed>[0-9]{6}-[A-Za-z])(?![A-Za-z0-9]) )
    | (?= [0-9]{5}[-+A-FU-Y][0-9]{3}[0-9A-Y]) (?<![\w.,+-][0-9]) (?= (?P<hetu>[0-9]{5}.[0-9]{3}.)(?![A-Za-z0-9]) )"""
"""Ids with letters, behind the first digit of a group (an expression with the flag `x`); each a group, unconsumed."""

LETTERED_BEHIND = r"""
        (?= (?P<dni>[0-9]{7}-?[A-HJ-NP-TV-Za-hj-np-tv-z])(?![A-Za-z0-9]) )
      | (?= (?P<dotted>[0-9]\.[0-9]{3}\.[0-9]{3}-?[A-HJ-NP-TV-Z])(?![A-Za-z0-9]) )
      | (?= (?P<ric>[0-9]{16}[Xx])(?![A-Za-z0-9]) )"""
"""The same for ids that begin with at least seven digits."""

BEFORE = {"iban": 2, "nino": 2, "nie": 1, "fiscale": 6, "curp": 4, "spaced": 3, "dashed": 2}
"""How far in front of that digit each of them begins."""
_MODULE = {
    "nie": "es.nie",
    "dashed": "es.nie",
    "fiscale": "it.codicefiscale",
    "curp": "mx.curp",
    "dni": "es.dni",
    "dotted": "es.dni",
    "hetu": "fi.hetu",
    "ric": "cn.ric",
}
_NO_NINO = re.compile(r"[DFIQUV]|.[DFIQUVO]|BG|GB|NK|KN|TN|NT|ZZ")  # HM Revenue & Customs, NIM39110

_IBAN_LENGTHS = {  # SWIFT, IBAN Registry (ISO 13616)
    15: "NO", 16: "BE", 18: "DK FO FI GL NL FK SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM TL SO", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "PT ST LY AO CV MZ", 26: "IS TR DZ IR",
    27: "BI CM DJ FR GR IT MC MG MR SM", 28: "AL AZ BF BJ BY CI CY DO GT HU LB ML NE NI PL SN SV TG",
    29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_IBAN_LENGTH = {country: length for length, countries in _IBAN_LENGTHS.items() for country in countries.split()}
_DOCUMENTS = ("s license", "s licence", "er license", "ng licence", "assport", "asseport", "asaporte", "eisepass")
_DOCUMENT = re.compile(
    r"""(?ix) (?:nummer)? [\ ]? (?: numbers? | no\.? | nr\.? | id | \# )? [\ ]? (?: is | was | ist | est | es | : | = )?
    [\ ]{0,2}
    ([A-Z0-9][A-Z0-9-]{4,17}) (?![\w-])"""
)
_NOT_ALNUM = re.compile(r"[^A-Za-z0-9]")


def is_iban(compact: str) -> bool:
    """Do an account number's check digits agree (ISO 7064, MOD 97-10)?

    >>> is_iban("DE89370400440532013000"), is_iban("DE88370400440532013000")
    (True, False)
    """
    turned = (compact[4:] + compact[:4]).upper()
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def find_documents(text: str, found: Found) -> str:
    """Replace the number of a passport or a driving licence behind these words: it has no form of its own."""
    places = [place for word in _DOCUMENTS if word in text for place in _places(text, word)]
    if not places:
        return text
    parts: list[str] = []
    done = 0
    for place in sorted(places):
        match = _DOCUMENT.match(text, place)
        if match is None or place < done or sum(sign.isdigit() for sign in match.group(1)) < 4:
            continue
        found["national id"] += 1
        parts += (text[done : match.start(1)], "[national id]")
        done = match.end()
    return "".join((*parts, text[done:])) if parts else text


def _places(text: str, word: str) -> list[int]:
    """Where a word ends, each time it stands in the text."""
    places = []
    at = text.find(word)
    while at >= 0:
        places.append(at + len(word))
        at = text.find(word, at + len(word))
    return places


def lettered(form: str, plain: str, start: int, end: int) -> tuple[str, int]:
    """Judge what an expression of `LETTERED` saw: its kind (empty if it is none) and where it ends."""
    if form == "iban":
        end = _iban_end(plain, start, end)
        return ("iban", end) if end else ("", 0)
    if form in ("nino", "spaced"):
        return ("", 0) if _NO_NINO.match(plain, start) else ("national id", end)
    return ("national id", end) if valid(_MODULE[form], plain[start:end].replace(".", "")) else ("", 0)


def _iban_end(plain: str, start: int, end: int) -> int:
    """Where an account number that begins at `start` ends: its country says how long it is. 0 if it is none."""
    length = _IBAN_LENGTH.get(plain[start : start + 2].upper(), 0)
    seen, place = 0, start
    while place < end and seen < length:
        seen += plain[place].isalnum()
        place += 1
    if not length or seen < length or (place < len(plain) and plain[place].isalnum()):
        return 0
    return place if is_iban(_NOT_ALNUM.sub("", plain[start:place])) else 0


@lru_cache(maxsize=128)
def _module(name: str) -> Any:
    try:
        return import_module(f"stdnum.{name}")
    except ModuleNotFoundError:
        return None


def valid(name: str, written: str) -> bool:
    """Ask python-stdnum whether a number is a valid one of the kind `name` (`"nl.bsn"`); True where it is absent."""
    module = _module(name)
    return module is None or bool(module.is_valid(written.replace(" ", "")))
