"""train.py - trains Nexus mini within a budget of minutes.

Owns:     the mixture over time, the optimiser, checkpoints and the curve.
Refuses:  the forms of the text (compose.py) and the GGUF (export.py).
Idea:     every schedule follows the fraction of the time budget that is spent,
          not a count of steps, so a slower machine gets fewer steps and the
          same shape of training. Batches hold one conversation a row, rows of
          like length together; only answers are learned in conversations,
          everything in plain text.
Invariant: a pool of batches depends on the seed, its number and the time spent
          when it began, and a checkpoint holds all that the next step needs, so a
          run that was cut goes on with the batch after its last checkpoint.
"""

import argparse
import csv
import os
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from compose import Composer
from model import Model, Shape
from vocab import BOS, END, START, load

STEP_TOKENS = 4096
BUCKETS = (64, 128, 192, 256, 320, 384, 512, 768, 1024, 2048, 4096)
ECHO_UNTIL = 0.01           # half of the first batches are echoes, few later
HINT_WEIGHT = 0.7           # of the answer's first id, asked for early: see Coder.conversation
FIRST_WEIGHTS = (4.0, 2.0)  # of an answer's first ids: there it is decided which passage counts
STEP_SECONDS_MAX = 10.0     # a paused process does not spend its budget


# -- ids ----------------------------------------------------------------------

class Coder:
    """Turns into ids, and what is to be predicted at each of them."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.bos, self.start, self.end = map(tokenizer.token_to_id, (BOS, START, END))
        self.newline = self.texts(["\n"])[0]

    def texts(self, texts):
        return [e.ids for e in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def conversation(self, turns, with_bos=True, hints=True):
        """(ids, targets, weights) with one target and weight for every id but the last.

        Answers are learned. With hints, the answer's first id is also asked for at
        every place behind the name in the question: there the name has just been read,
        as it has where a copying head continues it, so the search is learned there
        first, and the answer's place has only to look back a few ids for its result.
        """
        ids, said, hinted = ([self.bos] if with_bos else []), [], []
        heads = self.texts([t.role + "\n" for t in turns])
        # An answer starts with a space, for its first word then is the id that stands in the
        # passage behind "name - " or "name: ": copying needs no respelling.
        encoded = self.tokenizer.encode_batch([" " + t.text for t in turns],
                                              add_special_tokens=False)
        joined = self.tokenizer.encode_batch([t.role + "\n" + t.text for t in turns],
                                             add_special_tokens=False)
        hint_from = None
        for turn, head, body, whole in zip(turns, heads, encoded, joined):
            if turn.role == "assistant":
                ids += [self.start] + head
                if hint_from is not None and hints and body.ids:
                    hinted.append((hint_from, len(ids) - 1, body.ids[0]))
                said.append((len(ids), len(ids) + len(body.ids) + 1))
                ids += body.ids + [self.end] + self.newline
                hint_from = None
            else:
                if turn.asked >= 0:
                    behind = turn.asked + len(turn.role) + 1
                    hint_from = len(ids) + 1 + sum(b <= behind for _, b in whole.offsets) - 1
                ids += [self.start] + whole.ids + [self.end] + self.newline
        targets, weights = ids[1:], [0.0] * (len(ids) - 1)
        for first, last, target in hinted:
            for i in range(first, last):
                targets[i], weights[i] = target, HINT_WEIGHT
        for first, last in said:
            for i in range(first, last):
                n = i - first
                weights[i - 1] = FIRST_WEIGHTS[n] if n < len(FIRST_WEIGHTS) else 1.0
        return ids, targets, weights


class Pool:
    """A numbered pool of batches: is it plain text?, and the tensors of padded()."""

    def __init__(self, composer, coder, seed):
        self.composer, self.coder, self.seed = composer, coder, seed

    def batches(self, number, spent):
        rng = random.Random(self.seed * 1_000_003 + number)
        sized = {}
        for _ in range(1600):
            example = self.coder.conversation(self.draw(rng, spent), rng.random() < 0.8)
            for T in BUCKETS:
                if len(example[0]) <= T + 1:
                    sized.setdefault(T, []).append(example)
                    break
        out = []
        for T, examples in sized.items():
            rows = max(1, STEP_TOKENS // T)
            for at in range(0, len(examples), rows):
                chunk = examples[at:at + rows]
                if at and len(chunk) < rows // 2:
                    break
                while len(chunk) < rows:      # full shapes only: each shape is compiled once
                    chunk.append(rng.choice(examples))
                out.append((False, padded(chunk, T)))
        for _ in range(max(1, len(out) // 5)):
            out.append((True, self.plain(rng)))
        for _ in range(len(out) if spent < ECHO_UNTIL else len(out) // 30):
            out.append((False, self.echo(rng)))
        rng.shuffle(out)
        return out

    def draw(self, rng, spent):
        if spent < 0.03:                      # begin with little to search through
            return self.composer.conversation(rng, rng.randint(1, 2))
        if spent < 0.25 and rng.random() < 0.4:
            return self.composer.conversation(rng, 2)
        if spent > 0.5 and rng.random() < (0.02 if spent < 0.8 else 0.04):
            return self.composer.conversation(rng, rng.randint(8, 14 if spent < 0.8 else 36))
        return self.composer.conversation(rng)

    def echo(self, rng, T=128):
        """Random ids that repeat: nothing but looking back can predict them."""
        n_vocab = self.coder.tokenizer.get_vocab_size()
        first = 1 + max(self.coder.bos, self.coder.start, self.coder.end)
        inputs, at, targets = [], [], []
        for row in range(STEP_TOKENS // T):
            period = rng.randint(4, 60)
            once = [rng.randrange(first, n_vocab) for _ in range(period)]
            ids = (once * (T // period + 2))[:T + 1]
            inputs.append(ids[:-1])
            for i in sorted(rng.sample(range(period, T), (T - period) // 3)):
                at.append(row * T + i)
                targets.append(ids[i + 1])
        return torch.tensor(inputs), torch.tensor(at), torch.tensor(targets), torch.ones(len(at))

    def plain(self, rng, T=512):
        ids, rows = [], STEP_TOKENS // T
        while len(ids) < rows * T + 1:
            text = self.composer.document(rng)
            ids += [self.coder.bos] + self.coder.texts([text])[0] + [self.coder.end]
        ids = torch.tensor(ids[:rows * T + 1])
        inputs, targets = ids[:-1].view(rows, T), ids[1:]
        at = torch.tensor(sorted(rng.sample(range(rows * T), rows * T // 3)))
        return inputs, at, targets[at], torch.ones(len(at))


def padded(examples, T):
    """Rows of T inputs, the flat places that are learned, their targets and weights."""
    inputs = torch.zeros(len(examples), T, dtype=torch.long)
    at, wanted, weighed = [], [], []
    for row, (ids, targets, weights) in enumerate(examples):
        inputs[row, :len(ids) - 1] = torch.tensor(ids[:-1])
        for i, weight in enumerate(weights):
            if weight > 0:
                at.append(row * T + i)
                wanted.append(targets[i])
                weighed.append(weight)
    return inputs, torch.tensor(at), torch.tensor(wanted), torch.tensor(weighed)


# -- optimiser ----------------------------------------------------------------

def orthogonal(g):
    """The nearest semi-orthogonal matrices of g [n, rows, cols] (Newton-Schulz, quintic)."""
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.mT if tall else x).float()


class Muon:
    """Momentum with orthogonalised steps for the blocks' matrices.

    Fused matrices (qkv, gate and up) are stepped as the parts they are made of.
    """

    def __init__(self, groups):
        self.groups = groups                  # lists of (parameter, first row, rows), alike in shape
        self.momentum = {p: torch.zeros_like(p) for g in groups for p, _, _ in g}

    @torch.no_grad()
    def step(self, lr, beta=0.95, decay=0.01):
        for p, m in self.momentum.items():
            m.lerp_(p.grad, 1 - beta)
            p.grad.lerp_(m, beta)             # Nesterov's look ahead
            p.mul_(1 - lr * decay)
        for group in self.groups:
            update = orthogonal(torch.stack([p.grad[r:r + n] for p, r, n in group]))
            scale = max(1.0, update.shape[-2] / update.shape[-1]) ** 0.5
            for (p, r, n), u in zip(group, update):
                p[r:r + n].sub_(u, alpha=lr * scale)

    def state(self):
        return list(self.momentum.values())

    def restore(self, tensors):
        for m, saved in zip(self.momentum.values(), tensors):
            m.copy_(saved)


def matrix_groups(model):
    """The blocks' matrices by shape, so that each shape is one batched product."""
    s, groups = model.s, {}
    d_kv = s.n_heads_kv * s.head_dim
    for b in model.blocks:
        for p, cuts in ((b.qkv.weight, (s.n_embd, d_kv, d_kv)), (b.out.weight, (s.n_embd,)),
                        (b.gate_up.weight, (s.n_ff, s.n_ff)), (b.down.weight, (s.n_embd,))):
            row = 0
            for n in cuts:
                groups.setdefault((n, p.shape[1]), []).append((p, row, n))
                row += n
    return list(groups.values())


def rate(spent, step):
    """Warm up, stay, and fall linearly to nothing over the last 40 % of the time."""
    return min(1.0, (step + 1) / 100) * min(1.0, max(0.0, (1.0 - spent) / 0.4))


# -- the run ------------------------------------------------------------------

class Run:
    def __init__(self, args):
        self.args = args
        torch.manual_seed(args.seed)
        torch.set_num_threads(args.threads)
        torch._dynamo.config.recompile_limit = 64
        tokenizer = load(args.data / "vocab.json")
        self.coder = Coder(tokenizer)
        self.composer = Composer(args.data)
        self.pool = Pool(self.composer, self.coder, args.seed)
        self.model = Model(Shape(n_vocab=tokenizer.get_vocab_size(), n_layers=args.layers,
                                 n_embd=args.embd, n_heads=args.heads,
                                 n_heads_kv=args.heads // 2, n_ff=3 * args.embd))
        self.muon = Muon(matrix_groups(self.model))
        rest = [p for p in self.model.parameters() if p not in self.muon.momentum]
        self.adam = torch.optim.AdamW(rest, lr=0, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.step, self.seconds, self.tokens, self.number, self.within = 0, 0.0, 0, 0, 0
        self.pool_spent = 0.0
        self.dev = padded_dev(self.composer, self.coder)

    def save(self):
        state = {"shape": vars(self.model.s), "model": self.model.state_dict(),
                 "muon": self.muon.state(), "adam": self.adam.state_dict(),
                 "count": (self.step, self.seconds, self.tokens, self.number, self.within,
                           self.pool_spent)}
        path = self.args.out / "checkpoint.pt"
        torch.save(state, str(path) + ".new")
        os.replace(str(path) + ".new", path)

    def restore(self):
        state = torch.load(self.args.out / "checkpoint.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.muon.restore(state["muon"])
        self.adam.load_state_dict(state["adam"])
        (self.step, self.seconds, self.tokens, self.number, self.within,
         self.pool_spent) = state["count"]

    def loss(self, batch):
        """The weighted mean of the losses, and the logits [n, vocabulary] at the places learned."""
        inputs, at, targets, weights = batch
        with torch.autocast("cpu", torch.bfloat16, enabled=not self.args.f32):
            hidden = self.model.hidden(inputs).flatten(0, 1)[at]
            logits = self.model.logits(hidden).float()
        losses = F.cross_entropy(logits, targets, reduction="none")
        return (losses * weights).sum() / weights.sum(), logits

    def learn(self, batch, spent):
        loss, _ = self.loss(batch)
        loss.backward()
        lr = rate(spent, self.step)
        for group in self.adam.param_groups:
            group["lr"] = lr * self.args.adam_lr
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.muon.step(lr * self.args.muon_lr)
        self.adam.step()
        self.model.zero_grad(set_to_none=True)
        return loss.item()

    @torch.no_grad()
    def examine(self):
        """On packages kept aside: mean loss, and the share of answers right in every token."""
        losses, right, total = [], 0, 0
        for inputs, at, targets, weights, answers in self.dev:
            loss, logits = self.loss((inputs, at, targets, torch.ones_like(weights)))
            losses.append(loss.item())
            hits = (logits.argmax(-1) == targets).long()
            whole = torch.ones(answers[-1].item() + 1, dtype=torch.long)
            whole.scatter_reduce_(0, answers, hits, "amin")
            right, total = right + whole.sum().item(), total + whole.numel()
        return sum(losses) / len(losses), right / total

    def train(self):
        args, budget = self.args, self.args.minutes * 60
        if not args.eager:
            for block in self.model.blocks:
                block.compile(dynamic=False)
        curve = open(args.out / "curve.csv", "a", newline="")
        rows = csv.writer(curve)
        if self.step == 0:
            rows.writerow("step seconds tokens answer_loss text_loss dev_loss dev_right".split())
        means, saved, shown = {False: None, True: None}, time.time(), self.seconds
        self.row(rows, curve, means)
        tick = time.time()
        while self.seconds < budget:
            if self.within == 0:
                self.pool_spent = self.seconds / budget
            batches = self.pool.batches(self.number, self.pool_spent)
            for plain, batch in batches[self.within:]:
                loss = self.learn(batch, self.seconds / budget)
                old = means[plain]
                means[plain] = loss if old is None else 0.95 * old + 0.05 * loss
                now = time.time()
                self.seconds += min(now - tick, STEP_SECONDS_MAX)
                tick = now
                self.step, self.within = self.step + 1, self.within + 1
                self.tokens += batch[0].numel()
                if self.seconds - shown >= args.every:
                    shown = self.seconds
                    self.row(rows, curve, means)
                if time.time() - saved >= 120:
                    saved = time.time()
                    self.save()
                if self.seconds >= budget:
                    break
            else:
                self.number, self.within = self.number + 1, 0
        self.row(rows, curve, means)
        self.save()

    def row(self, rows, curve, means):
        dev_loss, dev_right = self.examine()
        numbers = [self.step, round(self.seconds), self.tokens] + [
            f"{n:.4f}" if n is not None else ""
            for n in (means[False], means[True], dev_loss, dev_right)]
        rows.writerow(numbers)
        curve.flush()
        print(time.strftime("%H:%M:%S"), *numbers, flush=True)


def padded_dev(composer, coder):
    """Fixed first questions about packages that are kept aside from training."""
    rng, out = random.Random(7), []
    for T, n in ((256, 3), (320, 3)):
        examples, answers = [], []
        while len(examples) < STEP_TOKENS // T:
            example = coder.conversation(composer.conversation(rng, n, dev=True), hints=False)
            if len(example[0]) <= T + 1:
                answers += [len(examples)] * sum(w > 0 for w in example[2])
                examples.append(example)
        out.append((*padded(examples, T), torch.tensor(answers)))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("build/mini"))
    parser.add_argument("--out", type=Path, default=Path("build/mini/run"))
    parser.add_argument("--minutes", type=float, default=77)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--embd", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--muon-lr", type=float, default=0.015)
    parser.add_argument("--adam-lr", type=float, default=0.003)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=60, help="seconds between rows of the curve")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--f32", action="store_true", help="no bfloat16, for CPUs without it")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args)
    if args.resume and (args.out / "checkpoint.pt").exists():
        run.restore()
    run.train()


if __name__ == "__main__":
    main()
