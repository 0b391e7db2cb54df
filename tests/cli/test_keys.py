"""Keys: made once and shown once, listed without secrets, revoked by id."""


def test_a_key_is_shown_once_works_and_is_revoked(lab):
    made = lab.run("keys", "create", "--name", "importer", "--scope", "read")
    assert made.exit_code == 0
    secret = made.stdout.strip()
    assert secret.startswith("ty_")
    assert "not shown again" in made.stderr
    listed = lab.said("keys", "list")
    assert "importer" in listed
    assert secret not in listed
    (key_id,) = {word for word in listed.split() if word.startswith("key_") and word in made.stderr}
    assert "stops working" in lab.said("keys", "revoke", key_id)
    assert "revoked" in lab.said("keys", "list")


def test_a_key_may_submit_and_read_by_default(lab):
    assert "(submit, read)" in lab.run("keys", "create", "--name", "x").stderr


def test_a_secret_is_not_an_id(nobody):
    done = nobody.run("keys", "revoke", "ty_ab_cd")
    assert done.exit_code == 2
    assert "keys list" in done.output


def test_an_unknown_key_is_a_sentence(lab):
    done = lab.run("keys", "revoke", "key_00000000000000000000000000")
    assert done.exit_code == 1
    assert "there is no key" in done.stderr
