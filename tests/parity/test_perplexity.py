"""Protects `nexus perplexity` and `nexus compare`: their figures are those that transformers' logits
give over the same windows of the same tokens."""
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

NEXUS = os.environ.get("NEXUS_BIN", "build/release/nexus")
CTX = 64


def make(folder, seed):
    """A tiny model with one token for each byte."""
    torch.manual_seed(seed)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tok = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tok).save_pretrained(folder)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=264, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        initializer_range=0.2, bos_token_id=None, eos_token_id=None))
    model.save_pretrained(folder)
    return model.eval(), tok


def log_probs(model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)


def run(*args):
    done = subprocess.run([NEXUS, *args, "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


class Figures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.a, cls.b = os.path.join(cls.dir.name, "a"), os.path.join(cls.dir.name, "b")
        cls.model, tok = make(cls.a, 1)
        cls.other, _ = make(cls.b, 1)
        with torch.no_grad():
            for p in cls.other.parameters():
                p.add_(torch.randn_like(p) * 0.02)
        cls.other.save_pretrained(cls.b)
        cls.text = os.path.join(cls.dir.name, "text")
        words = "It was the best of times, it was the worst of times. "
        with open(cls.text, "w", encoding="utf-8") as f:
            f.write(words * 6 + "Zwölf Boxkämpfer.\n")
        with open(cls.text, encoding="utf-8") as f:
            cls.ids = tok.encode(f.read()).ids

    @classmethod
    def tearDownClass(cls):
        cls.dir.cleanup()

    def chunks(self):
        for i in range(0, len(self.ids) - CTX + 1, CTX):
            yield self.ids[i:i + CTX]

    def test_chunks(self):
        nll = []
        for ids in self.chunks():
            lp = log_probs(self.model, ids)
            nll += [-lp[t, ids[t + 1]].item() for t in range(CTX // 2, CTX - 1)]
        got = run("perplexity", "-m", self.a, "--ctx", str(CTX), self.text)
        self.assertEqual(got["tokens"], len(self.ids))
        self.assertEqual(got["tokens_scored"], len(nll))
        self.assertAlmostEqual(got["mean_nll"], sum(nll) / len(nll), places=4)

    def test_windows(self):
        """The loop of the Hugging Face guide, every token's loss counted once."""
        for stride in (1, 16, 50, CTX):
            nll, prev_end = [], 0
            for begin in range(0, len(self.ids), stride):
                end = min(begin + CTX, len(self.ids))
                lp = log_probs(self.model, self.ids[begin:end])
                for t in range(max(prev_end, 1), end):
                    if t - 1 >= begin:
                        nll.append(-lp[t - 1 - begin, self.ids[t]].item())
                    else:       # windows that touch leave their first token without context
                        self.assertEqual(stride, CTX)
                prev_end = end
                if end == len(self.ids):
                    break
            got = run("perplexity", "-m", self.a, "--ctx", str(CTX), "--stride", str(stride),
                      self.text)
            self.assertEqual(got["tokens_scored"], len(nll))
            self.assertAlmostEqual(got["mean_nll"], sum(nll) / len(nll), places=4)

    def test_compare(self):
        kl, same, ratio = [], [], []
        for ids in self.chunks():
            a, b = log_probs(self.model, ids), log_probs(self.other, ids)
            for t in range(CTX // 2, CTX - 1):
                kl.append((a[t].exp() * (a[t] - b[t])).sum().item())
                same.append(a[t].argmax().item() == b[t].argmax().item())
                ratio.append((a[t, ids[t + 1]] - b[t, ids[t + 1]]).item())
        got = run("compare", self.a, self.b, self.text, "--ctx", str(CTX))
        self.assertEqual(got["tokens_compared"], len(kl))
        self.assertAlmostEqual(got["kl_mean"], sum(kl) / len(kl), places=4)
        self.assertAlmostEqual(got["kl_max"], max(kl), places=4)
        self.assertAlmostEqual(got["top1_agreement"], sum(same) / len(same), places=6)
        self.assertAlmostEqual(got["perplexity_ratio"], math.exp(sum(ratio) / len(ratio)), places=4)

    def test_compare_with_itself(self):
        got = run("compare", self.a, self.a, self.text, "--ctx", str(CTX))
        self.assertEqual(got["kl_max"], 0)
        self.assertEqual(got["top1_agreement"], 1)
        self.assertEqual(got["perplexity_ratio"], 1)

    def test_compare_with_its_gguf(self):
        """The embedding has rows that no word has; the GGUF gives them names."""
        gguf = os.path.join(self.dir.name, "a.gguf")
        done = subprocess.run([NEXUS, "quantize", self.a, gguf, "--type", "f32"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        got = run("compare", self.a, gguf, self.text, "--ctx", str(CTX))
        self.assertLess(got["kl_max"], 1e-5)
        self.assertEqual(got["top1_agreement"], 1)


if __name__ == "__main__":
    program = unittest.main(exit=False)
    sys.exit(not program.result.wasSuccessful())
