"""Webhook endpoints from the command line."""


def test_an_endpoint_is_made_tried_rotated_and_deleted(lab):
    made = lab.run("hooks", "create", "https://93.184.215.14/yard", "--name", "app", "--event", "job.*")
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    assert secret.startswith("whsec_")
    (hook,) = {word for word in made.stderr.split() if word.startswith("wh_")}
    listed = lab.said("hooks", "list")
    assert "works" in listed
    assert secret not in listed
    event = lab.said("hooks", "test", hook).split()[0]
    assert event.startswith("evt_")
    assert "webhook.test" in lab.said("hooks", "deliveries", hook)
    assert "1 event goes" in lab.said("hooks", "replay", hook, "--event", event)
    assert "1 event goes" in lab.said("hooks", "replay", hook, "--since", "24h")
    assert "--event" in lab.run("hooks", "replay", hook).stderr
    rotated = lab.run("hooks", "rotate", hook)
    assert rotated.stdout.startswith("whsec_")
    assert rotated.stdout.strip() != secret
    assert "enabled" in lab.said("hooks", "enable", hook)
    batch = lab.said("submit", "-", "--webhook", hook, stdin="a question\n")
    assert "batch_" in batch
    assert "deleted" in lab.said("hooks", "delete", hook)
    assert "hooks create" in lab.said("hooks", "list")


def test_a_url_that_leads_inside_is_a_sentence(lab):
    done = lab.run("hooks", "create", "https://10.0.0.1/", "--name", "x")
    assert done.exit_code == 1
    assert "private" in done.stderr


def test_an_unknown_endpoint_is_a_sentence(lab):
    refused = lab.run("submit", "-", "--webhook", "wh_00000000000000000000000000", stdin="a question\n")
    assert refused.exit_code == 1
    assert "hooks" not in refused.stdout
    assert "there is no endpoint" in refused.stderr
    done = lab.run("hooks", "delete", "wh_00000000000000000000000000")
    assert done.exit_code == 1
    assert "there is no webhook" in done.stderr
