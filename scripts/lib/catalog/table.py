"""Writes the table of providers into the document, between its two marks."""

import sys
import tomllib

BEGIN = "<!-- providers: written by scripts/catalog --table -->"
END = "<!-- /providers -->"


# The variables without which there are none of these credentials, in the order in which they are named.
REQUIRED = {"sigv4": ["access_key_id_env", "secret_access_key_env"], "service_account": ["file_env"]}


def write(providers, document):
    with open(providers, "rb") as file:
        known = tomllib.load(file)["providers"]
    with open(document, encoding="utf-8") as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"{document}: needs the lines `{BEGIN}` and `{END}`, once each")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    with open(document, "w", encoding="utf-8") as file:
        file.write(head + BEGIN + "\n" + table(known) + END + tail)


def table(known):
    rows = ["| name | provider | dialect | base URL | key, or what makes it live |", "|---|---|---|---|---|"]
    for name, provider in sorted(known.items()):
        live = [provider["base_url_env"]] if provider.get("local") else provider.get("key_env", [])
        ways = [", ".join(f"`{variable}`" for variable in live)] if live else []
        for kind, credentials in provider.get("credentials", {}).items():
            ways.append(" and ".join(f"`{credentials[field]}`" for field in REQUIRED[kind]))
        variables = ", or ".join(ways)
        title, source = provider["title"], provider["source"]
        dialect, url = provider["dialect"], provider["base_url"]
        rows.append(f"| `{name}` | [{title}]({source}) | {dialect} | `{url}` | {variables} |")
    return "\n".join(rows) + "\n"
