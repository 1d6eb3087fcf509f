"""Names of S3 buckets, which all accounts of the world share. Creates nothing."""

import re

RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_ENDS = ("-s3alias", "--ol-s3", "--x-s3", "--table-s3")


def malformed_bucket(field: str, name: str) -> list[str]:
    """The problem with a bucket's name, if there is one.

    AWS also allows dots, with which the certificate of S3 does not fit the bucket's host name.
    """
    well_formed = re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name)
    if well_formed and not name.startswith(RESERVED_STARTS) and not name.endswith(RESERVED_ENDS):
        return []
    return [
        f"{field} is no bucket name: got {name!r}, allowed 3 to 63 of a-z, 0-9 and inner hyphens, "
        "and none of AWS's own prefixes and endings"
    ]
