"""Every kind the built-in rules know: what is one goes, what fails its check digits or its form stays."""

from __future__ import annotations

import sys

import pytest

from flywheel.capture.redact import Patterns
from flywheel.capture.redaction.ids import is_iban
from flywheel.capture.redaction.phones import plans_of
from flywheel.errors import InvalidConfig, InvalidRecord

# Written apart, so that this file holds nothing that a scanner for secrets would stop at.
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
TOKENS = [
    AWS,
    "ASIA" + "ABCDEFGHIJKLMNOP",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "11ABC" * 8,
    "glpat-" + "x1Y2z3W4" * 3,
    "sk-" + "abcdefghijklmnopqrstuvwx",
    "sk-ant-" + "api03-" + "Zz09" * 8,
    "sk_live_" + "4eC39HqLyjWDarj",
    "rk_test_" + "4eC39HqLyjWDarj",
    "xoxb-" + "123456789012-abcdef",
    "AIza" + "SyA1" * 9,
    "ya29." + "a0AfH6SMBx" * 3,
    "hf_" + "AbCd" * 8,
    "npm_" + "AbCd" * 9,
    "SG." + "ngeVfQFYQlKU0ufo8x5d1A" + "." + "TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5cr",
    "hvs." + "CAESIJ8X9" * 3,
    "dapi" + "0123456789abcdef" * 2,
    "whsec_" + "MfKQ9r8GKYqrTwjU" * 2,
    "key-" + "0123456789abcdef" * 2,
    "123456789:" + "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0",
    "fw_" + "ab12_" + "0123456789abcdefXYZ",
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----\nlQOYBF\n-----END PGP " + "PRIVATE KEY BLOCK-----",
]

GONE = [  # text, what is left, kind
    ("api_key=basicABC1234567 ok", "api_key=[secret] ok", "secret"),
    ("email ana%40example.org", "email [email]", "email"),
    ("a O'Brien@example.org b", "a [email] b", "email"),
    ("GB59 IFUE 4022 6315 4991 37 is mine", "[iban] is mine", "iban"),
    ("gb42nawi04454264788619.", "[iban].", "iban"),
    ("IBAN:MT84MALT011000012345MTLCAST001S", "IBAN:[iban]", "iban"),
    ("4111 1111 1111 1111 12/26", "[card] 12/26", "card"),
    ("order 12345 4111-1111-1111-1111", "order 12345 [card]", "card"),
    ("for this card: 213161594239298", "for this card: [card]", "card"),
    ("٤١١١١١١١١١١١١١١١", "[card]", "card"),
    ("４１１１ １１１１ １１１１ １１１１", "[card]", "card"),
    ("4111\u00a01111\u00a01111\u00a01111", "[card]", "card"),
    ("office (415) 555-2671 ext. 12", "office [phone]", "phone"),
    ("1-800-555-0199 toll", "[phone] toll", "phone"),
    ("98765 43210", "[phone]", "phone"),
    ("020 7946 0958", "[phone]", "phone"),
    ("030/12345678", "[phone]", "phone"),
    ("01 84 17 61 18", "[phone]", "phone"),
    ("699 956 915", "[phone]", "phone"),
    ("333 123 4567", "[phone]", "phone"),
    ("Phone:\n467 3395", "Phone:\n[phone]", "phone"),
    ("call me at 5403926876 ok", "call me at [phone] ok", "phone"),
    ("(+49) 30 1234567", "[phone]", "phone"),
    ("+1 415 555 2671 2 apples", "[phone] 2 apples", "phone"),
    ("tel 030 1234567 2026-01-31", "tel [phone] 2026-01-31", "phone"),
    ("123-45-6789", "[national id]", "national id"),
    ("social security number is 123 45 6789", "social security number is [national id]", "national id"),
    ("ssn: 123456789", "ssn: [national id]", "national id"),
    ("BSN 123456782", "BSN [national id]", "national id"),
    ("123456782 is my bsn", "[national id] is my bsn", "national id"),
    ("12345678Z", "[national id]", "national id"),
    ("12.345.678-Z", "[national id]", "national id"),
    ("X1234567L", "[national id]", "national id"),
    ("RSSMRA85T10A562S", "[national id]", "national id"),
    ("AB123456C", "[national id]", "national id"),
    ("AB 12 34 56 C", "[national id]", "national id"),
    ("NHS 943 476 5919", "NHS [national id]", "national id"),
    ("PESEL 44051401359", "PESEL [national id]", "national id"),
    ("529.982.247-25", "[national id]", "national id"),
    ("811218-9876", "[national id]", "national id"),
    ("Steuer-ID 36574261809", "Steuer-ID [national id]", "national id"),
    ("36 574 261 809", "[national id]", "national id"),
    ("2 95 10 99 126 111 93", "[national id]", "national id"),
    ("756.9217.0769.85", "[national id]", "national id"),
    ("85.07.30-033.28", "[national id]", "national id"),
    ("131052-308T", "[national id]", "national id"),
    ("Aadhaar 2341 2341 2346", "Aadhaar [national id]", "national id"),
    ("passport number A1234567", "passport number [national id]", "national id"),
    ("my driver's license is F162823540116", "my driver's license is [national id]", "national id"),
    ("https://x.org/a?token=abcdef123&next=/home", "https://x.org/a?token=[secret]&next=/home", "secret"),
    ("https://x.org/a?key=AIx12345&b=2", "https://x.org/a?key=[secret]&b=2", "secret"),
    ("?X-Amz-Signature=deadbeef0123456789", "?X-Amz-Signature=[secret]", "secret"),
    ("DB_PASSWORD=hunter22", "DB_PASSWORD=[secret]", "secret"),
    ('"password": "correct horse battery"', '"password": "[secret]"', "secret"),
    ('{\\"api_key\\": \\"hunter2\\"}', '{\\"api_key\\": \\"[secret]\\"}', "secret"),
    ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [secret]", "secret"),
    ("https://t0ken1flength@host/x", "https://[url login]@host/x", "url login"),
    ("redis://:pa55@cache:6379", "redis://[url login]@cache:6379", "url login"),
    *((f"use {token} now", "use [secret] now", "secret") for token in TOKENS),
]

STAYS = [  # a check digit that is wrong, a form that is none, a word that speaks against it
    "4111 1111 1111 1112",
    "GB59IFUE40226315499138",
    "DE88 3704 0044 0532 0130 00",
    "bsn 123456789",
    "123456782",
    "12345678A",
    "X1234567A",
    "RSSMRA85T10A562T",
    "QQ123456C",
    "nhs 943-4765918",
    "pesel 44051401358",
    "44051401359",
    "529.982.247-26",
    "811218-9875",
    "36 574 261 808",
    "2 95 10 99 126 111 94",
    "756.9217.0769.86",
    "131052-308S",
    "000-12-3456 and 666-12-3456",
    "order no. 415-555-2671",
    "€699 956 915",
    "699 956 915 EUR",
    "111-111-1111",
    "x-123-45-6789",
    "sk-learn is nice, sk_learning_rate_schedule_x",
    "pk_customer_address_id",
    "the token: something else",
    "the bearer shares rose",
    "https://medium.com/@user/post",
    "ghp_short",
    "logo@2x.png and react@18.2.0-rc.next",
]


@pytest.mark.parametrize(("text", "left", "kind"), GONE, ids=[str(place) for place in range(len(GONE))])
def test_what_is_one_goes(text, left, kind):
    assert Patterns().redact(text) == (left, {kind: 1})


@pytest.mark.parametrize("text", STAYS)
def test_what_only_looks_like_one_stays(text):
    assert Patterns().redact(text) == (text, {})


def test_check_digits_of_accounts():
    # 97 - 98 % of random digits fail; one that is changed always does (ISO 7064).
    assert is_iban("DE89370400440532013000")
    assert not any(is_iban(f"DE{check:02}370400440532013000") for check in range(100) if check != 89)


def test_a_key_speaks_for_the_number_under_it():
    value = {
        "phone": "467 3395",
        "contactMobile": 1511234567,
        "phone_count": 1511234567,
        "call_duration_ms": 1234567,
        "order_id": 12345678901,
        "ssn": "123456789",
        "customer_bsn_number": "123456782",
        "customer_bsn": "123456789",
        "card": 501864667909,
        "other": 501864667909,
    }
    cleaned, counts = Patterns().redact(value)
    assert cleaned == {
        **value,
        "phone": "[phone]",
        "contactMobile": "[phone]",
        "ssn": "[national id]",
        "customer_bsn_number": "[national id]",
        "card": "[card]",
    }
    assert counts == {"card": 1, "national id": 2, "phone": 2}


def test_keys_that_name_secrets_take_what_is_under_them():
    value = {
        "apiKey": "x",
        "db_password": 1234,
        "token": "hello",
        "tokens": ["a", "b"],
        "headers": {"Authorization": ["abc"], "Set-Cookie": "a=b"},
        "secret": {"a": "b"},
        "empty": {"password": "", "passwd": None},
    }
    cleaned, counts = Patterns().redact(value)
    assert cleaned == {
        **value,
        "apiKey": "[secret]",
        "db_password": "[secret]",
        "headers": {"Authorization": ["[secret]"], "Set-Cookie": "[secret]"},
    }
    assert counts == {"secret": 4}
    assert Patterns().redact(cleaned) == (cleaned, {})


def test_regions_choose_whose_national_numbers_are_found():
    polish, german = "22 825 12 34", "030 1234567"
    assert Patterns(regions=("PL",)).redact(polish) == ("[phone]", {"phone": 1})
    assert Patterns(regions=("US",)).redact(polish) == (polish, {})
    assert Patterns(regions=("DE",)).redact(german) == ("[phone]", {"phone": 1})
    assert Patterns(regions=()).redact(german) == (german, {})
    assert Patterns(regions=()).redact("+49 30 1234567") == ("[phone]", {"phone": 1})
    with pytest.raises(InvalidConfig, match="'UK'"):
        Patterns(regions=("UK",))


@pytest.mark.parametrize("region", ["US", "GB", "DE", "FR", "ES", "IT", "CA", "AU", "IN", "PL", "BR"])
def test_plans_agree_with_phonenumbers(region):
    import random

    import phonenumbers

    plans, draw = plans_of((region,)), random.Random(region)
    agreed = 0
    for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
        number = phonenumbers.example_number_for_type(region, kind)
        written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        assert Patterns(regions=(region,)).redact(written)[1] == {"phone": 1}, written
    for _ in range(300):
        digits = "0" + "".join(draw.choice("0123456789") for _ in range(draw.choice((8, 9, 10))))
        if plans.national(digits, (4, len(digits) - 4)):
            assert phonenumbers.is_valid_number_for_region(phonenumbers.parse(digits, region), region), digits
            agreed += 1
    assert agreed or region in ("US", "CA", "ES", "PL", "BR")


def test_without_the_libraries_forms_and_words_still_count(monkeypatch):
    from flywheel.capture.redaction import ids, phones

    for name in ("phonenumbers", "stdnum"):
        for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)
    ids._module.cache_clear()
    phones.plans_of.cache_clear()
    try:
        bare = Patterns()
        assert bare.redact("415-555-2671, call 467 3395, +49 30 1234567")[1] == {"phone": 3}
        assert bare.redact("12345678Z or BSN 123456789")[1] == {"national id": 2}
        assert bare.redact("020 7946 0958")[1] == {}  # the plan of Britain is the library's
        assert bare.redact("4111 1111 1111 1111, GB59IFUE40226315499137")[1] == {"card": 1, "iban": 1}
    finally:
        ids._module.cache_clear()
        phones.plans_of.cache_clear()


def test_too_deep_is_refused_without_the_value():
    value: object = "ana@example.org"
    for _ in range(400):
        value = [value]
    with pytest.raises(InvalidRecord) as refused:
        Patterns().redact(value)
    assert "ana" not in str(refused.value)
