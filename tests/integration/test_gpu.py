# SPDX-License-Identifier: Apache-2.0
"""GPU backends without a GPU: the emulator as a backend, and the CUDA and HIP backends over stub
drivers (tests/gpu/stub), which fail on demand."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import gguf
import pytest

from conftest import ROOT, models_dir, require_model, wait_until
from tiny_model import write_tiny_model

COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="session")
def build(binary):
    path = pathlib.Path(binary).parent
    if not (path / "backends" / "emu" / "emu.so").exists():
        pytest.skip("built without the emulator")
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_tiny_model(path)
    return path


def engine(backend, file, **extra):
    more = "".join(f", {k}: {v}" for k, v in extra.items())
    return (f"{{backend: {backend}, file: {file}, context: 256, max_batch: 4, step_budget: 64{more}}}")


def config(engines, head=""):
    models = "".join(f"  {name}: {{targets: [{{engine: {e}}}]}}\n" for name, e in engines.items())
    return f'server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}\n{head}models:\n{models}'


def ask(daemon, model, prompt="Once upon a time", n=12, timeout=120, **extra):
    body = {"model": model, "prompt": prompt, "max_tokens": n, "temperature": 0, **extra}
    return daemon.request(COMPLETIONS, body, timeout=timeout)


def text(answer):
    status, _, body = answer
    assert status == 200, body
    return body["choices"][0]["text"]


class Stub:
    """A stub driver's folder, and the file that says how it fails."""

    def __init__(self, build, directory):
        self.folder = build / "tests" / "gpu" / "stub"
        self.file = directory / "fault"
        self.env = {"LD_LIBRARY_PATH": str(self.folder), "WEIR_GPU_FAULT_FILE": str(self.file)}
        self.env_nccl = {**self.env, "LD_LIBRARY_PATH": f"{self.folder}:{self.folder / 'nccl'}"}
        (directory / "libnccl.so.2").write_text("no library")  # the machine may have one
        self.env_no_nccl = {**self.env, "LD_LIBRARY_PATH": f"{self.folder}:{directory}"}
        self.head = f"plugin_dirs: [{self.folder}]\n"

    def fail(self, words):
        new = self.file.with_suffix(".new")
        new.write_text(words)
        os.replace(new, self.file)

    def mend(self):
        self.file.unlink()


@pytest.fixture
def stub(build, tmp_path):
    return Stub(build, tmp_path)


def state(daemon, model):
    models = daemon.request("/admin/v1/models", admin=True)[2]
    return next(m for m in models if m["name"] == model)["targets"][0]["state"]


def test_the_emulator_answers_as_the_cpu(start, build, tiny):
    daemon = start(config({"cpu": engine("cpu", tiny), "emu": engine("emu", tiny),
                           "wave64": engine("emu", tiny, device=2)}))
    for prompt in ("Once upon a time", "x", "The quick brown fox jumps over the lazy dog. " * 3):
        want = text(ask(daemon, "cpu", prompt))
        assert text(ask(daemon, "emu", prompt)) == want
        assert text(ask(daemon, "wave64", prompt)) == want
    assert daemon.metric("weir_gpu_graph_steps_total", model="emu") > 0
    assert daemon.metric("weir_gpu_step_seconds_total", model="emu") > 0
    places = daemon.metric("weir_gpu_decode_places_total", model="emu")
    assert 0 < daemon.metric("weir_gpu_decode_rows_total", model="emu") <= places


def test_smollm2_on_the_emulator_writes_what_the_cpu_writes(start, build):
    require_model("SmolLM2-135M-Instruct.Q4_1.gguf")
    file = models_dir() / "SmolLM2-135M-Instruct.Q4_1.gguf"
    daemon = start(config({"cpu": engine("cpu", file), "emu": engine("emu", file)}))
    prompt = "The capital of France is"
    want = text(ask(daemon, "cpu", prompt, n=4))
    assert text(ask(daemon, "emu", prompt, n=4, timeout=600)) == want


def test_int8_keys_and_values(start, build, tiny):
    daemon = start(config({"emu": engine("emu", tiny, options="{kv_type: int8}"),
                           "f16": engine("emu", tiny)}))
    text(ask(daemon, "emu"))
    half = daemon.metric("weir_memory_bytes", model="f16", subsystem="kv") / 2
    assert half < daemon.metric("weir_memory_bytes", model="emu", subsystem="kv") < 1.1 * half


@pytest.mark.parametrize("backend", ["cuda", "hip"])
def test_a_stub_driver_runs_the_backend_as_it_stands(start, stub, tiny, backend):
    daemon = start(config({"cpu": engine("cpu", tiny), "gpu": engine(backend, tiny)}, stub.head),
                   env=stub.env)
    assert text(ask(daemon, "gpu")) == text(ask(daemon, "cpu"))


@pytest.mark.parametrize("backend", ["cuda", "hip"])
def test_a_lost_device_costs_503_and_comes_back(start, stub, tiny, backend):
    daemon = start(config({"gpu": engine(backend, tiny), "cpu": engine("cpu", tiny)}, stub.head),
                   env=stub.env)
    want = text(ask(daemon, "gpu"))
    stub.fail("launch=719")
    status, headers, body = ask(daemon, "gpu", "Another text")
    assert status == 503 and int(headers["retry-after"]) > 0, body
    assert "unspecified launch failure" in daemon.log_text()
    assert text(ask(daemon, "cpu")) == want  # others go on
    wait_until(lambda: state(daemon, "gpu") == "failed", what="the model is down")
    status, headers, body = ask(daemon, "gpu")
    assert status == 503 and int(headers["retry-after"]) > 0, body
    stub.mend()
    wait_until(lambda: state(daemon, "gpu") == "ready", timeout=60, what="the model is back")
    assert text(ask(daemon, "gpu")) == want


def test_a_step_that_never_ends_is_given_up(start, stub, tiny):
    daemon = start(config({"gpu": engine("cuda", tiny, options="{step_limit_ms: 500}")}, stub.head),
                   env=stub.env)
    want = text(ask(daemon, "gpu"))
    stub.fail("hang")
    status, headers, body = ask(daemon, "gpu", "Another text")
    assert status == 503 and int(headers["retry-after"]) > 0, body
    assert "step_limit_ms" in daemon.log_text()
    stub.mend()
    wait_until(lambda: state(daemon, "gpu") == "ready", timeout=60, what="the model is back")
    assert text(ask(daemon, "gpu")) == want


def test_memory_that_runs_out_at_load_is_tried_again(start, stub, tiny):
    stub.fail("alloc=2")
    daemon = start(config({"gpu": engine("cuda", tiny)}, stub.head), env=stub.env)
    assert state(daemon, "gpu") == "failed"
    assert "out of memory" in daemon.log_text()
    stub.mend()
    wait_until(lambda: state(daemon, "gpu") == "ready", timeout=60, what="the model is loaded")


def test_a_device_that_is_gone_at_load_is_waited_for(start, stub, tiny):
    daemon = start(config({"gpu": engine("cuda", tiny, device=1)}, stub.head), env=stub.env)
    text(ask(daemon, "gpu"))
    stub.fail("launch=719 devices=1")
    assert ask(daemon, "gpu", "Another text")[0] == 503
    wait_until(lambda: "device 1 of cuda is gone" in daemon.request(
        "/admin/v1/models", admin=True)[2][0]["targets"][0].get("error", ""), what="it says so")
    stub.mend()
    wait_until(lambda: state(daemon, "gpu") == "ready", timeout=60, what="the device is back")


@pytest.mark.parametrize("words, sentence", [
    ("init=100", "the NVIDIA driver sees no device"),
    ("init=803", "libcuda.so.1 and the NVIDIA kernel module differ"),
    ("version=11040", "the NVIDIA driver is for CUDA 11.4, weir needs 12.0"),
    ("devices=0", "the driver sees no device"),
    ("major=7", "this build has no kernels for sm_70"),
])
def test_what_cannot_run_says_why(binary, stub, tiny, tmp_path, words, sentence):
    stub.fail(words)
    file = tmp_path / "weir.yaml"
    file.write_text(config({"gpu": engine("cuda", tiny)}, stub.head))
    ran = subprocess.run([binary, "serve", "-c", file], capture_output=True, text=True, timeout=60,
                         env={**os.environ, **stub.env})
    assert ran.returncode != 0
    assert f"backend cuda cannot run here: {'Stub 0: ' if 'major' in words else ''}{sentence}" \
        in ran.stderr, ran.stderr


@pytest.mark.parametrize("words, where", [
    ("init=100", "auto: not cuda: the NVIDIA driver sees no device"),
    ("major=7", "auto: not cuda: Stub 0: this build has no kernels for sm_70"),
    ("memory=8", "the next best backend takes over: Stub 0 has 8 MB for this model"),
])
def test_auto_takes_what_else_can_run(start, stub, tiny, words, where):
    stub.fail(words)
    daemon = start(config({"m": engine("auto", tiny)}, stub.head), env=stub.env)
    text(ask(daemon, "m"))
    assert where in daemon.log_text()
    device = daemon.request("/admin/v1/models", admin=True)[2][0]["targets"][0]["device"]
    assert device.startswith("cpu" if "major" not in words else "hip")  # another GPU comes first


def test_auto_takes_the_gpu(start, stub, tiny):
    daemon = start(config({"m": engine("auto", tiny)}, stub.head), env=stub.env)
    assert "Stub 0" in daemon.request("/admin/v1/models", admin=True)[2][0]["targets"][0]["device"]


def test_a_device_is_chosen_by_its_id(start, stub, tiny):
    uuid = "GPU-00000000-0000-0000-0000-000000000001"
    daemon = start(config({"m": engine("cuda", tiny, device=uuid)}, stub.head), env=stub.env)
    assert "cuda1 Stub 1" in daemon.request("/admin/v1/models", admin=True)[2][0]["targets"][0]["device"]


def target(daemon, model):
    models = daemon.request("/admin/v1/models", admin=True)[2]
    return next(m for m in models if m["name"] == model)["targets"][0]


def test_two_emulated_devices_write_what_one_writes(start, build, tiny):
    daemon = start(config({"cpu": engine("cpu", tiny), "two": engine("emu", tiny, device="[0, 1]"),
                           "wave64": engine("emu", tiny, device="[EMU-2, EMU-3]")}))
    for prompt in ("Once upon a time", "x", "The quick brown fox jumps over the lazy dog. " * 3):
        want = text(ask(daemon, "cpu", prompt))
        assert text(ask(daemon, "two", prompt)) == want
        assert text(ask(daemon, "wave64", prompt)) == want
    assert target(daemon, "two")["device"].startswith("emu0,1 ")
    assert daemon.metric("weir_gpu_graph_steps_total", model="two") > 0


def test_two_devices_serve_a_batch(start, build, tiny):
    daemon = start(config({"one": engine("emu", tiny), "two": engine("emu", tiny, device="[0, 1]")}))
    prompts = [f"Tale {i} of a fox" * (i + 1) for i in range(4)]
    want = [text(ask(daemon, "one", p)) for p in prompts]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda p: text(ask(daemon, "two", p)), prompts)) == want


def test_smollm2_over_two_devices_writes_what_one_writes(start, build):
    require_model("SmolLM2-135M-Instruct.Q4_1.gguf")  # three KV heads: one and two
    file = models_dir() / "SmolLM2-135M-Instruct.Q4_1.gguf"
    daemon = start(config({"cpu": engine("cpu", file), "two": engine("emu", file, device="[0, 1]")}))
    prompt = "The capital of France is"
    want = text(ask(daemon, "cpu", prompt, n=4))
    assert text(ask(daemon, "two", prompt, n=4, timeout=600)) == want


@pytest.mark.parametrize("backend", ["cuda", "hip"])
def test_stub_drivers_and_nccl_run_a_split_model(start, stub, tiny, backend):
    daemon = start(config({"cpu": engine("cpu", tiny),
                           "gpu": engine(backend, tiny, device="[1, 0]")}, stub.head),
                   env=stub.env_nccl)
    assert text(ask(daemon, "gpu")) == text(ask(daemon, "cpu"))
    assert target(daemon, "gpu")["device"] == f"{backend}1,0 Stub 1"


@pytest.mark.parametrize("backend", ["cuda", "hip"])
@pytest.mark.parametrize("lost", [0, 1])
def test_one_of_two_devices_lost_takes_the_model_down(start, stub, tiny, backend, lost):
    daemon = start(config({"gpu": engine(backend, tiny, device="[0, 1]"),
                           "cpu": engine("cpu", tiny)}, stub.head), env=stub.env_nccl)
    want = text(ask(daemon, "gpu"))
    stub.fail(f"launch=719 on={lost}")
    status, headers, body = ask(daemon, "gpu", "Another text")
    assert status == 503 and int(headers["retry-after"]) > 0, body
    assert "unspecified launch failure" in daemon.log_text()
    assert text(ask(daemon, "cpu")) == want  # others go on
    stub.mend()
    wait_until(lambda: state(daemon, "gpu") == "ready", timeout=60, what="the model is back")
    assert text(ask(daemon, "gpu")) == want


@pytest.mark.parametrize("words, nccl, sentence", [
    ("", False, "a model on several devices needs a library that cannot be opened: "),
    ("nccl=2", True, "joining 2 devices: ncclCommInitAll: unhandled system error (2)"),
    ("memory=8", True, "Stub 0 has 8 MB for this model"),
])
def test_devices_that_cannot_be_joined_say_why(start, stub, tiny, words, nccl, sentence):
    stub.fail(words)
    daemon = start(config({"gpu": engine("cuda", tiny, device="[0, 1]")}, stub.head),
                   env=stub.env_nccl if nccl else stub.env_no_nccl)
    assert state(daemon, "gpu") == "failed"
    assert sentence in target(daemon, "gpu")["error"]


def test_a_model_that_cannot_be_split_names_the_dimension(start, build, tiny):
    daemon = start(config({"m": engine("emu", tiny, device="[0, 1, 2]")}))
    assert "cannot be split over 3 devices: its attention.head_count_kv of 2 goes in parts of 1" \
        in target(daemon, "m")["error"]


def test_auto_without_nccl_takes_the_cpu(start, stub, tiny):
    daemon = start(config({"m": engine("auto", tiny, device="[0, 1]")}, stub.head),
                   env=stub.env_no_nccl)
    text(ask(daemon, "m"))
    assert "the next best backend takes over: a model on several devices" in daemon.log_text()
    assert target(daemon, "m")["device"].startswith("cpu")


@pytest.mark.parametrize("backend, devices, sentence", [
    ("emu", "[0, 0]", "repeats the value at line 3; each may stand once"),
    ("emu", "[0]", "must have at least 2 items"),
    ("emu", "[0, EMU-0]", "backend emu cannot run here: a device is named twice"),
    ("emu", "[0, 9]", "backend emu cannot run here: no such device"),
    ("cpu", "[0, 1]", "backend cpu cannot run here: it cannot split a model over devices"),
])
def test_lists_of_devices_are_checked(binary, build, tiny, tmp_path, backend, devices, sentence):
    file = tmp_path / "weir.yaml"
    file.write_text(config({"m": engine(backend, tiny, device=devices)}))
    ran = subprocess.run([binary, "serve", "-c", file], capture_output=True, text=True, timeout=60,
                         check=False)
    assert ran.returncode == 78, ran.stderr
    assert sentence in ran.stderr, ran.stderr


def figure(daemon, name):
    return daemon.metric(f"weir_gpu_{name}", model="gpu")


@pytest.mark.parametrize("backend", ["cuda", "hip"])
def test_the_devices_health_is_shown(start, stub, tiny, backend):
    daemon = start(config({"gpu": engine(backend, tiny, device=1)}, stub.head), env=stub.env)
    assert figure(daemon, "utilization_ratio") == 0.7
    assert figure(daemon, "memory_used_bytes") == 301
    assert figure(daemon, "memory_total_bytes") == 1000
    assert figure(daemon, "power_watts") == 501
    assert figure(daemon, "temperature_celsius") == 71
    assert figure(daemon, "throttled") == 0
    assert figure(daemon, "ecc_uncorrected_errors") == 0
    assert figure(daemon, "error_events_total") == 0
    stub.fail("throttle=8 ecc=2 busy=10" + (" xid=79" if backend == "cuda" else ""))
    wait_until(lambda: figure(daemon, "throttled") == 1, what="it is seen")
    assert figure(daemon, "utilization_ratio") == 0.2
    assert figure(daemon, "ecc_uncorrected_errors") == 2
    assert figure(daemon, "error_events_total") == (1 if backend == "cuda" else 2)
    if backend == "cuda":
        assert figure(daemon, "last_error_event") == 79


@pytest.mark.parametrize("backend", ["cuda", "hip"])
def test_the_health_of_two_devices_is_joined(start, stub, tiny, backend):
    daemon = start(config({"gpu": engine(backend, tiny, device="[0, 1]")}, stub.head),
                   env=stub.env_nccl)
    assert figure(daemon, "utilization_ratio") == 0.6
    assert figure(daemon, "memory_used_bytes") == 601
    assert figure(daemon, "power_watts") == 1001
    assert figure(daemon, "temperature_celsius") == 71


def test_models_share_a_device_within_their_budgets(start, stub, tiny):
    stub.fail("memory=1024")
    small = "{memory_mb: 300}"
    daemon = start(config({"a": engine("cuda", tiny, options=small),
                           "b": engine("cuda", tiny, options=small),
                           "c": engine("cuda", tiny, options="{memory_mb: 8}")}, stub.head),
                   env=stub.env)
    assert text(ask(daemon, "a")) == text(ask(daemon, "b"))
    assert state(daemon, "c") == "failed"
    assert "Stub 0 has 8 MB for this model; it needs" in target(daemon, "c")["error"]
    for model in ("a", "b"):
        parts = ("weights", "kv", "scratch")
        held = sum(daemon.metric("weir_memory_bytes", model=model, subsystem=p) for p in parts)
        assert held < 300 << 20


def test_a_hard_share_slows_its_tenant_on_a_gpu(start, build, tiny):
    tenants = """tenants:
  acme: {keys: [{name: main, secret: key-of-acme-00001}], resources: {gpu_share: 0.2, gpu_share_hard: true}}
  globex: {keys: [{name: main, secret: key-of-globex-001}]}
"""
    daemon = start(config({"m": engine("emu", tiny)}, "plugins: [auth]\n" + tenants))

    def seconds(key):
        began = time.monotonic()
        body = {"model": "m", "prompt": "Once upon a time", "max_tokens": 30, "temperature": 0}
        status, _, answer = daemon.request(COMPLETIONS, body, timeout=120,
                                           headers={"Authorization": f"Bearer {key}"})
        assert status == 200, answer
        return time.monotonic() - began

    seconds("key-of-globex-001")
    free, bounded = seconds("key-of-globex-001"), seconds("key-of-acme-00001")
    assert bounded > 2 * free, (bounded, free)


@pytest.fixture
def check(build, tmp_path):
    """The folder that scripts/gpu-check makes, without llama.cpp."""
    folder = tmp_path / "check"
    folder.mkdir()
    scripts = ROOT / "tests" / "gpu"
    for file in (scripts / "run", *scripts.glob("*.py")):
        shutil.copy(file, folder)
    (folder / "model_check").symlink_to(build / "tests/gpu/model_check")
    return folder


def run_check(folder, *arguments):
    environment = {**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = subprocess.run([folder / "run", "--backend", "emu", "--log", folder / "log", *arguments],
                         env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0 and "FAILED" not in run.stdout, run.stdout + run.stderr
    return run.stdout


def test_the_check_of_a_gpu_runs_in_the_emulator(check):
    out = run_check(check, "--only", "speed,split,profile,llama", "--tiny", "Q4_K")
    table = out.rsplit("\n\n", 1)[-1]
    assert re.search(r"^Q4_K decode b1 pos 100 +[\d.]+ tok/s", table, re.MULTILINE), out
    assert re.search(r"^Q8_0 on two decode b1 pos 100 +[\d.]+ tok/s", table, re.MULTILINE), out
    assert re.search(r"^PROFILE Q4_K b8 of 1 weir_attn_decode_f16_64 .* 2 a step", out, re.MULTILINE)
    assert "NOTE no llama/ here" in out


def test_a_file_for_two_programs(check):
    """What make_model.py writes is GGUF to others, and weir decodes it."""
    subprocess.run([sys.executable, check / "make_model.py", check / "m.gguf", "--tiny"], check=True)
    reader = gguf.GGUFReader(check / "m.gguf")
    kinds = {t.name: t.tensor_type.name for t in reader.tensors}
    assert len(kinds) == 3 + 2 * 9
    assert kinds["blk.1.ffn_down.weight"] == "Q4_K" and kinds["output.weight"] == "Q6_K"
    for t in reader.tensors:
        weights = gguf.dequantize(t.data, t.tensor_type)
        assert 0 < abs(weights).max() < 4, t.name
    run = subprocess.run([check / "model_check", "emu", "batch", check / "m.gguf", "tiny"],
                         capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and "FIGURE file decode b8 pos 200: tokens" in run.stdout, run.stdout
