#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The texts of the tokenizer's golden files: many scripts, code, spaces, digits, marks.

texts() is the same at every run; make_tokens.py writes it to token_texts.json.
"""
import random

N_TEXTS = 2400

SENTENCES = """\
The quick brown fox jumps over the lazy dog, doesn't it? We'll see; they've said I'm wrong.
HE'S SURE THEY'LL SAY "IT'S FINE", BUT WE'RE NOT, I'D SAY. L'été, c'est l'amour; O’Neil’s.
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich – „Straße“ kostet 1.234,56 €.
Voix ambiguë d’un cœur qui, au zéphyr, préfère les jattes de kiwis. Où êtes-vous ?
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia; ¿y el niño? ¡Sí, señor!
À noite, vovô Kowalsky vê o ímã cair no pé do pinguim queixoso e vovó põe açúcar no chá.
Pchnąć w tę łódź jeża lub ośm skrzyń fig. Příliš žluťoučký kůň úpěl ďábelské ódy.
Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак і ґанок. Ђурђевдан је.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Καλημέρα κόσμε· πῶς ἔχεις;
שלום עולם, מה שלומך היום? דג סקרן שט בים מאוכזב. בְּרֵאשִׁית בָּרָא
مرحبا بالعالم، كيف حالك؟ نص حكيم له سر قاطع وذو شأن عظيم. ١٢٣٤٥ لَا إِلٰهَ
نمونه‌ای از متن فارسی با نیم‌فاصله: می‌روم و ۱۲۳. اردو میں لکھا ہوا متن۔
नमस्ते दुनिया, आप कैसे हैं? क्षत्रिय ज्ञान १२३४। বাংলা ভাষায় লেখা কিছু কথা।
தமிழ் மொழியில் ஒரு வாக்கியம். తెలుగు వాక్యం ఒకటి. ಕನ್ನಡ ವಾಕ್ಯ. മലയാളം വാക്യം.
สวัสดีชาวโลก วันนี้เป็นวันที่ดี ๑๒๓ ພາສາລາວ ខ្ញុំស្រឡាញ់អ្នក မြန်မာစာ བོད་སྐད་
你好，世界！今天天气怎么样？我有３个苹果，價錢是１２３元。繁體中文測試「引號」。
こんにちは、世界！今日はいい天気ですね。カタカナとｶﾀｶﾅ、漢字かな交じり文。ー〜
안녕하세요 세계! 오늘 날씨가 어때요? ㅋㅋㅋ 한국어 문장입니다.
Xin chào thế giới, hôm nay bạn thế nào? Tiếng Việt có dấu: ắ ằ ẳ ẵ ặ. Türkçe: İstanbul ığüşöç.
გამარჯობა მსოფლიო. Բարեւ աշխարհ։ ሰላም ልዑል። ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᚠᛇᚻ ᛒᛦᚦ ꓲꓳ 𐌰𐌱𐌲 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ℌ𝓮𝓵𝓵𝓸
👋🌍 hello 😀😃😄 👨‍👩‍👧‍👦 family 🏳️‍🌈 flags 🇩🇪🇫🇷 👍🏽 tone ☺️ ❤️‍🔥 1️⃣ ©®™
def main(argv: list[str]) -> int:\\n    for i in range(0, len(argv)):\\n        print(f"{i:>4}: {argv[i]!r}")\\n    return 0
int main(void) {\\n\\tchar *p = malloc(1 << 20);\\n\\tif (!p) { perror("malloc"); return -1; }\\n\\t/* x->y[3] |= 0xFFu; */\\n}
SELECT a.id, COUNT(*) FROM t AS a WHERE x >= 10 AND y != 'it''s' GROUP BY 1; -- done
<div class="a-b_c" id='x'>text &amp; more</div><!-- end --> <br/> <s>old</s> </s> <h1>T</h1>
{"key": [1, 2.5e-10, true, null], "nested": {"a\\\\n": "\\\\u00e9"}} https://example.org/a?b=c&d=%20#e
$ E = mc^2 $, \\\\alpha \\\\leq \\\\beta, ∑∫∂√∞ ≠ ± × ÷ → ⇒ ∀x∈ℝ: x²≥0, H₂O, 10⁻³ ½ ⅓ Ⅷ ⑨ ㊿
12345678901234567890 1,000,000.00 3.14159 007 0x1F 1e10 2024-11-23T23:02:28Z +49 (0)30 123456
# Title\\n\\n* item one\\n* item **two**\\n  - nested `code`\\n\\n| a | b |\\n|---|---|\\n| 1 | 2 |\\n\\n> quote\\n---
""".splitlines()

MARKS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<bos>", "<eos>", "<start_of_turn>",
         "<end_of_turn>", "<s>", "</s>", "<unk>", "<pad>", "<unused7>", "<mask>", "[multimodal]",
         "<|im_start|>user\n", "<|im_end|>\n", "<|im_", "<0x0A>", "<repo_name>", "<file_sep>",
         "<table>", "</table>", "<h1>", "<|word|>", "<|wo", "|>", "rd|>"]
SPACES = [" ", "  ", "   ", " " * 7, " " * 16, " " * 33, "\n", "\n\n", "\n\n\n", "\n" * 12, "\r\n",
          "\r\n\r\n", "\r", "\t", "\t\t\t", " \n", "\n ", " \t ", "\v", "\f", "\u00a0", "\u2003",
          "\u3000", "\u2028", "\u0085", "\u200b", "\ufeff", "\u202f ", "\u2581", "\u2581\u2581 "]
ODD = ["\0", "\x01\x02", "\x1b[31m", "\x7f", "\u0300", "e\u0301", "\u0301\u0302a", "\u200d",
       "\u00ad", "\ufffd", "\ufffe", "\U0010ffff", "\ue000", "\u0378", "\U0001f9ff", "\u0130",
       "\u212a", "\u017f", "\ufb01", "\u01c5", "'", "''", "'S", "'ll", "'Re", "’s", "'\u017f", "`",
       "~~~", "^|$+<=>", "...", "!?", "--", "__", "\\", "\"", "(", ")", "[]", "{}", "1", "12",
       "123", "1234", "12345", "١٢٣", "५६७८", "Ⅷ", "²³", "𝟙𝟚𝟛", "a1b2", "x\u0308y", "i\u0307"]


def random_code_points(rng):
    low, high = rng.choice([(0x20, 0x7F), (0x80, 0x250), (0x250, 0x800), (0x800, 0x1100),
                            (0x1100, 0x2000), (0x2000, 0x2C00), (0x2C00, 0xA000),
                            (0xA000, 0xD800), (0xE000, 0x10000), (0x10000, 0x11FFF),
                            (0x1D000, 0x1FBFF), (0x20000, 0x323AF), (0xE0000, 0xE0200)])
    return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 8)))


def random_part(rng):
    kind = rng.random()
    if kind < 0.40:
        sentence = rng.choice(SENTENCES).replace("\\n", "\n").replace("\\t", "\t")
        words = sentence.split(" ")
        start = rng.randrange(len(words))
        return " ".join(words[start:start + rng.randint(1, 7)])
    if kind < 0.62:
        return rng.choice(SPACES)
    if kind < 0.82:
        return rng.choice(ODD)
    return rng.choice(MARKS) if kind < 0.90 else random_code_points(rng)


def texts():
    rng = random.Random(20)
    out = [""] + [s.replace("\\n", "\n").replace("\\t", "\t") for s in SENTENCES]
    out += SPACES + ODD + MARKS
    out += [c * n for c in "a 1'.\n-=\u4e00" for n in (2, 3, 5, 9, 17, 40, 100)]
    while len(out) < N_TEXTS:
        out.append("".join(random_part(rng) for _ in range(rng.randint(1, 6))))
    return out
