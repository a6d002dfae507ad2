# SPDX-License-Identifier: Apache-2.0
"""deploy/prometheus: the alerts are valid, fire when they should, and name metrics that exist."""

import re
import subprocess

from conftest import ROOT

RULES = ROOT / "deploy/prometheus/weir-alerts.yaml"
TESTS = ROOT / "deploy/prometheus/weir-alerts-test.yaml"


def promtool(*words):
    return subprocess.run(["promtool", *words], capture_output=True, text=True, cwd=RULES.parent)


def test_the_rules_are_valid():
    done = promtool("check", "rules", RULES.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_should():
    done = promtool("test", "rules", TESTS.name)
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    tested = re.findall(r"alertname: (\w+)\n +exp_alerts", TESTS.read_text())
    assert len(alerts) > 8 and set(alerts) == set(tested)


def test_they_use_metrics_that_are_documented():
    page = (ROOT / "docs/operations.md").read_text()
    for name in set(re.findall(r"\bweir_[a-z_]+", re.sub(r"#.*", "", RULES.read_text()))):
        assert f"`{re.sub('_bucket$', '', name)}`" in page, name
