"""Words that say what a number is: "phone", "card", "BSN"; and those that say it is nobody's, such as "order".

Looked up word by word, from the number outwards, so that the nearest one counts. In the lists `a_b` is two words in a
row, and `abc*` whatever begins so.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["meaning_of_key", "said_after", "said_before"]

_NOUNS = {
    "phone": "phone phones telephone telephones tel telefon* téléphone telephone* teléfono telefono telefone"
    " telefoon tlf mobile mobiles mobil móvil movil cell cellphone cellular* celular handy fax whatsapp sms"
    " hotline landline voicemail switchboard pager"
    " msisdn rufnummer* handynummer desk",
    "card": "card cards visa mastercard master_card amex american_express maestro cc kreditkarte* karte carte"
    " tarjeta carta",
    "ssn": "ssn ssns itin social_security",
    "steuer": "steuer* steuer_id idnr tax_id tin",
    "bsn": "bsn burgerservice* sofi sofinummer",
    "pesel": "pesel*",
    "personnummer": "personnummer personnr person_nummer samordningsnummer fødselsnummer fodselsnummer fnr hetu"
    " henkilötunnus",
    "cpr": "cpr",
    "cpf": "cpf",
    "nhs": "nhs",
    "nir": "nir sécurité_sociale securite_sociale insee",
    "aadhaar": "aadhaar aadhar uidai",
    "sin": "sin social_insurance",
    "tfn": "tfn tax_file",
    "rijksregister": "rijksregister* registre_national niss insz",
    "ahv": "ahv avs",
    "svnr": "svnr sozialversicherung*",
    "nif": "nif dni nie contribuinte",
    "kimlik": "kimlik* tckn",
    "rut": "rut run",
    "cnp": "cnp",
    "rodne": "rodné rodne",
    "egn": "egn егн",
    "oib": "oib",
    "identity": "national_id identity id_card id_number citizen_id personal_id personal_code",
    "document": "passport passports reisepass passeport pasaporte license licence führerschein permis",
}
_VERBS = {
    "phone": "call called calling dial dialed text_me ring_me reach_me reach_us reach_him reach_her reach_them contact"
    " messages_to message_to answer_at answering_at registered anruf* appel* llama* chiam* portable my_number",
    "other": "order orders invoice invoices ticket tickets case cases ref reference tracking article articles item"
    " items sku isbn issn imei version build account accounts transaction booking serial model part batch id ids zip"
    " plz postcode bestell* rechnung* commande facture pedido factura population total amount price sum timestamp size"
    " bytes hash commit patent doi arxiv",
}
_NEUTRAL = frozenset(("number", "numbers", "nummer", "numero", "número", "numéro", "numer"))
_KEY_ENDS = _NEUTRAL | {"no", "nr", "num", "value", "raw", "e164", "home", "work"}
_WORD = re.compile(r"[^\W\d_]+")
_PREFIX = 5
_MOST_WORDS, _MOST_WORDS_AFTER = 6, 4  # between the one that speaks and the number


def _table(*lists: dict[str, str]) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]]]:
    whole: dict[str, str] = {}
    begins: dict[str, list[tuple[str, str]]] = {}
    for groups in lists:
        for group, words in groups.items():
            for word in words.split():
                if word.endswith("*"):
                    begins.setdefault(word[:_PREFIX], []).append((word[:-1], group))
                else:
                    whole[word.replace("_", " ")] = group
    return whole, begins


_TEXT = _table(_VERBS, _NOUNS)
_KEYS = _table(_NOUNS)
_BEHIND = _table(_NOUNS, {"phone": "office"})
_STARTS = frozenset(word.split()[-1][:2] for word in (*_TEXT[0], *_TEXT[1], *_BEHIND[0]))
_SECONDS = frozenset(pair.split()[1] for pair in _TEXT[0] if " " in pair)


def _group(words: list[str], place: int, table: tuple[dict[str, str], dict[str, list[tuple[str, str]]]]) -> str:
    """What the word at `place`, or it and the one before it, says."""
    whole, begins = table
    word = words[place]
    if word in _SECONDS and place and (group := whole.get(f"{words[place - 1]} {word}")):
        return group
    if group := whole.get(word):
        return group
    if len(word) >= _PREFIX:
        for beginning, group in begins.get(word[:_PREFIX], ()):
            if word.startswith(beginning):
                return group
    return ""


def said_before(text: str) -> str:
    """What the words in front of a number say it is: the group of the nearest that says anything, or just "number".

    >>> said_before("My order; please call me at "), said_before("the phone, for order no. ")
    ('phone', 'other')
    """
    words = _WORD.findall(text.lower())
    for place in range(len(words) - 1, max(-1, len(words) - 1 - _MOST_WORDS), -1):
        if words[place][:2] in _STARTS and (group := _group(words, place, _TEXT)):
            return group
    return "number" if not _NEUTRAL.isdisjoint(words) else ""


def said_after(text: str) -> str:
    """What the words right behind a number say it was: a noun such as "fax" or "BSN".

    >>> said_after(" is my mobile number"), said_after(" people called us")
    ('phone', '')
    """
    words = _WORD.findall(text.lower())[:_MOST_WORDS_AFTER]
    for place, word in enumerate(words):
        if word[:2] in _STARTS and (group := _group(words, place, _BEHIND)):
            return group
    return ""


@lru_cache(maxsize=1024)
def meaning_of_key(words: str) -> str:
    """What a key, as words in lower case, says of the number under it; nothing when it only mentions such a word.

    >>> meaning_of_key("customer phone number"), meaning_of_key("call duration"), meaning_of_key("phone count")
    ('phone', '', '')
    """
    parts = words.split()
    while parts and parts[-1] in _KEY_ENDS:
        parts.pop()
    return _group(parts, len(parts) - 1, _KEYS) if parts else ""
