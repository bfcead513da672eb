"""Loaded by schemathesis (test_schemathesis.py): of the keys that it finds in answers, it may revoke any
but the one that it asks with. NX_KEY_ID: that one's id."""
import os

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    found = (case.path_parameters or {}).get("id")
    if case.method == "DELETE" and os.environ["NX_KEY_ID"] in str(found):
        case.path_parameters["id"] = "no-such-key"
