"""What scripts/catalog calls: `models WHEEL VERSION DATE OUT` or `table PROVIDERS_TOML DOCUMENT`."""

import sys

import models
import table


def main(arguments):
    match arguments:
        case ["models", wheel, version, date, out]:
            models.derive(wheel, version, date, out)
        case ["table", providers, document]:
            table.write(providers, document)
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
