"""Why a mode fails: what is measured on it, one question a file, and what the numbers together say."""
