#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/greedy/<model>.json: greedy texts on which llama.cpp agrees with itself.

    LLAMA_CPP_LIB_PATH=... python tests/golden/make_greedy.py [--narrow] MODEL.gguf...

Needs numpy, gguf, jinja2 and llama-cpp-python. Decodes 64 tokens behind every prompt of
greedy/prompts.txt under each of SETTINGS, and keeps the prompts whose tokens are the same in all of
them. --narrow does that for what an earlier run kept, with another build of llama.cpp: one for
AVX-512 and one for AVX2 part ways on near ties as much as two settings do. Chat prompts go through the file's own
template by jinja2; a file without one gets "User: ...\\nAssistant:" as plain text.
tests/integration/test_greedy.py holds weir to these texts.
"""
import ctypes
import json
import pathlib
import sys
import time

import jinja2
import numpy as np
from gguf import GGUFReader

HERE = pathlib.Path(__file__).parent
N_NEW = 64
CTX = 1024  # of one sequence

F32, F16 = 0, 1
# What an operator may choose without asking for less accuracy; those that cost least come first, as
# each leaves fewer prompts to the next. `repack`: llama.cpp's default of other kernels for decoding.
SETTINGS = [
    {"together": 16, "threads": 2, "ubatch": 512, "flash": 1, "kv": F16, "repack": True},
    {"together": 1, "threads": 2, "ubatch": 512, "flash": 0, "kv": F16, "repack": True},
    {"together": 8, "threads": 2, "ubatch": 128, "flash": 0, "kv": F32, "repack": False},
    {"together": 1, "threads": 1, "ubatch": 16, "flash": 1, "kv": F32, "repack": False},
    {"together": 1, "threads": 2, "ubatch": 32, "flash": 1, "kv": F16, "repack": True},
    {"together": 4, "threads": 1, "ubatch": 64, "flash": 0, "kv": F32, "repack": True},
    {"together": 1, "threads": 2, "ubatch": 1, "flash": 0, "kv": F16, "repack": False},
]


def read_prompts():
    documents = {}
    for part in (HERE / "logits" / "texts.txt").read_text().split("%%% ")[1:]:
        name, _, body = part.partition("\n")
        documents[name] = body
    for line in (HERE / "greedy" / "prompts.txt").read_text().splitlines():
        kind, _, text = line.partition(" ")
        if kind == "chat":
            roles = ("user", "assistant")
            yield [{"role": roles[i % 2], "content": turn}
                   for i, turn in enumerate(text.split(" ||| "))]
        elif kind == "text" and text.startswith("<") and text.split()[0][1:] in documents:
            name, n = text[1:-1].split()
            yield documents[name][:int(n)]
        elif kind == "text":
            yield text.replace("\\n", "\n").replace("\\\\", "\\")


def as_text(prompt, template):
    """The text that the model sees, and the entry of the golden file that asks for it."""
    if isinstance(prompt, str):
        return prompt, {"prompt": prompt}
    if template:
        return template.render(messages=prompt, add_generation_prompt=True), {"messages": prompt}
    names = {"user": "User", "assistant": "Assistant"}
    text = "".join(f"{names[m['role']]}: {m['content']}\n" for m in prompt) + "Assistant:"
    return text, {"prompt": text}


class Engine:
    """llama.cpp under one setting."""

    def __init__(self, lib, path, setting):
        self.lib, self.setting = lib, setting
        params = lib.llama_model_default_params()
        params.use_extra_bufts = setting["repack"]
        self.model = lib.llama_model_load_from_file(str(path).encode(), params)
        self.vocab = lib.llama_model_get_vocab(self.model)
        self.n_vocab = lib.llama_vocab_n_tokens(self.vocab)
        params = lib.llama_context_default_params()
        params.n_ctx = CTX * setting["together"]
        params.n_seq_max = setting["together"]
        params.n_batch = CTX
        params.n_ubatch = setting["ubatch"]
        params.n_threads = params.n_threads_batch = setting["threads"]
        params.flash_attn_type = setting["flash"]
        params.type_k = params.type_v = setting["kv"]
        self.ctx = lib.llama_init_from_model(self.model, params)
        self.batch = lib.llama_batch_init(CTX, 0, 1)

    def close(self):
        self.lib.llama_batch_free(self.batch)
        self.lib.llama_free(self.ctx)
        self.lib.llama_model_free(self.model)

    def tokenize(self, text):
        raw = text.encode()
        ids = (ctypes.c_int32 * (len(raw) + 8))()
        n = self.lib.llama_tokenize(self.vocab, raw, len(raw), ids, len(ids), True, True)
        assert 0 < n <= CTX - N_NEW
        return list(ids[:n])

    def ends(self, token):
        return self.lib.llama_vocab_is_eog(self.vocab, token)

    def text(self, tokens):
        out = b""
        for token in tokens:
            buf = ctypes.create_string_buffer(4096)
            n = self.lib.llama_token_to_piece(self.vocab, token, buf, len(buf), 0, False)
            out += buf.raw[:n]
        return out.decode(errors="replace")

    def feed(self, rows):
        """rows of (token, position, sequence, wanted); the greedy next token of the wanted ones"""
        b = self.batch
        for i, (token, pos, seq, wanted) in enumerate(rows):
            b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = token, pos, 1, wanted
            b.seq_id[i][0] = seq
        b.n_tokens = len(rows)
        assert self.lib.llama_decode(self.ctx, b) == 0
        return [int(np.ctypeslib.as_array(self.lib.llama_get_logits_ith(self.ctx, i),
                                          (self.n_vocab,)).argmax())
                for i, row in enumerate(rows) if row[3]]

    def greedy(self, prompts, known):
        """Up to N_NEW tokens behind each of up to `together` prompts, decoded together. One that
        leaves what is known of it is not followed further."""
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.ctx), True)
        out = []
        for seq, prompt in enumerate(prompts):
            last = len(prompt) - 1
            out.append(self.feed([(t, i, seq, i == last) for i, t in enumerate(prompt)]))
        while True:
            open_ = [s for s, tokens in enumerate(out)
                     if len(tokens) < N_NEW and not self.ends(tokens[-1])
                     and (known[s] is None or known[s][:len(tokens)] == tokens)]
            if not open_:
                return out
            rows = [(out[s][-1], len(prompts[s]) + len(out[s]) - 1, s, True) for s in open_]
            for s, token in zip(open_, self.feed(rows)):
                out[s].append(token)


def agreed(lib, path, asked, answers):
    """What of `answers` (prompt number to tokens, or None while unknown) every setting gives."""
    for setting in SETTINGS:
        began = time.monotonic()
        engine = Engine(lib, path, setting)
        todo = list(answers)
        for at in range(0, len(todo), setting["together"]):
            group = todo[at:at + setting["together"]]
            prompts = [engine.tokenize(asked[i][0]) for i in group]
            for i, tokens in zip(group, engine.greedy(prompts, [answers[i] for i in group])):
                if answers[i] is None:
                    answers[i] = tokens
                elif answers[i] != tokens:
                    del answers[i]
        print(f"{path.stem}: {len(answers)} of {len(asked)} agree after {setting}, "
              f"{time.monotonic() - began:.0f} s", flush=True)
        engine.close()
    return answers


def entry_of(engine, asked, tokens):
    stops = engine.ends(tokens[-1])
    return {**asked, "text": engine.text(tokens[:-1] if stops else tokens), "tokens": tokens,
            "finish_reason": "stop" if stops else "length"}


def make(lib, version, path, narrow):
    file = HERE / "greedy" / f"{path.stem}.json"
    source = GGUFReader(path).fields.get("tokenizer.chat_template")
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(source.contents()) if source else None
    old = json.loads(file.read_text()) if narrow else {"prompts": [], "builds": []}
    prompts = [e.get("messages") or e["prompt"] for e in old["prompts"]] or list(read_prompts())
    asked = [as_text(prompt, template) for prompt in prompts]
    known = [e["tokens"] for e in old["prompts"]] or [None] * len(prompts)
    answers = agreed(lib, path, asked, dict(enumerate(known)))
    engine = Engine(lib, path, SETTINGS[0])
    golden = {"model": path.name, "llama_cpp": version,
              "builds": old["builds"] + [lib.llama_print_system_info().decode()],
              "settings": SETTINGS, "n_prompts": old.get("n_prompts", len(asked)),
              "max_tokens": N_NEW,
              "prompts": [entry_of(engine, asked[i][1], t) for i, t in answers.items()]}
    engine.close()
    # One prompt a line.
    text = json.dumps(golden, ensure_ascii=False).replace('}, {"prompt": ', '},\n{"prompt": ')
    file.write_text(text.replace('}, {"messages": ', '},\n{"messages": ') + "\n")


def main():
    import llama_cpp
    lib = llama_cpp.llama_cpp
    quiet = lib.llama_log_callback(lambda level, text, user: None)
    lib.llama_log_set(quiet, None)
    narrow = sys.argv[1:2] == ["--narrow"]
    for path in sys.argv[1 + narrow:]:
        make(lib, llama_cpp.__version__, pathlib.Path(path), narrow)


if __name__ == "__main__":
    main()
