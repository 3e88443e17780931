"""The command `tap-stripe-conn`, also as `python -m tap_stripe_conn`."""

from __future__ import annotations

import gc
import sys

from tap_stripe_conn.exit_codes import INTERRUPTED


def main() -> None:
    """Run the command."""
    # What imports leave is there to stay; the collector would look through it several times.
    gc.disable()
    try:
        from tap_stripe_conn.tap import TapStripeConn  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    gc.enable()
    TapStripeConn.cli()


if __name__ == "__main__":
    main()
