"""What personal data and secrets look like in a text; the redactors in `capture.redact` are made of it.

Everything here needs the standard library alone. Two libraries make it sharper where they are installed, and are
imported when first needed: `python-stdnum` checks the digits of national ids, `phonenumbers` knows which national
numbers a country gives out.
"""
