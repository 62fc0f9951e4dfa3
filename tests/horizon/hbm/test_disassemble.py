from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from horizon.hbm import disassemble, write
from horizon.hbm.__main__ import main
from tests.conftest import ROOT
from tests.horizon.hbm.programs import full_program, short_program

SHORT = """\
program short
march host, opt O0, images in multiples of 1
memory: sram 128 bytes, ddr 0 bytes, constants 64 bytes (crc 2fe023e4)
input x: 1x1x2x2:uint8 nchw, zero point 128, scale 0.0078125
output y: 1x1x2x2:int32 nchw, zero point 0, scale 0.25
metadata {"note": "short", "weight": 0.5}
instructions 3
     0 load      load        x     sram[0x0] 1x2x2x1:int8 = input:x[0x0] 1x2x2x1:uint8 by (4,2,1,4)
     1 vector    rescale     wide  sram[0x40] 1x2x2x1:int32 = sram[0x0] 1x2x2x1:int8; \
table [0x0]x1; clamp -5..1000; after load:1
     2 store     store       y     output:y[0x0] 1x2x2x1:int32 by (16,8,4,16) = \
sram[0x40] 1x2x2x1:int32; after load:1 vector:1
"""

LINES = """\
     5 tensor    conv        conv2        sram[0x6c0] 1x4x6x18:int8 = sram[0x0] 1x4x6x3:int8; \
b sram[0x880] 1x4x6x18:int16; weight sram[0x80] 1x1x1x1152:int8; kernel 3x3; pad 1,1; \
table [0xec0]x18; clamp 0..127; after load:2 store:1 tensor:1 vector:1
     7 tensor    correlation correlation  sram[0xc00] 1x4x6x9:int16 = sram[0x500] 1x4x6x18:int8; \
b sram[0x6c0] 1x4x6x18:int8; pad 1,1; reach 1; table [0x1140]x1; clamp 0..32767; \
after load:3 store:1 tensor:2 vector:1
     8 transform copy        offsets      sram[0xdc0] 1x2x6x2:int16 = sram[0xc04] 1x2x6x2:int16 \
by (432,108,18,2); after load:3 store:1 tensor:3 vector:1
     9 aux       warp        warp         sram[0xe00] 1x2x6x18:int8 = sram[0x6c0] 1x4x6x18:int8; \
b sram[0xdc0] 1x2x6x2:int16; fraction bits 8; origin 1,0; table [0x1140]x1; \
after load:3 store:1 tensor:3 vector:1 transform:1
    10 tensor    conv        flow         sram[0xf00] 1x8x12x2:int32 = sram[0x500] 1x4x6x18:int8; \
weight constant[0x480] 1x1x1x2048:int8; kernel 4x4; stride 2,2; pad 1,1; transposed; rows; \
table [0x1100]x2; clamp -2147483648..2147483647; \
after load:3 store:1 tensor:3 vector:1 aux:1 transform:1
"""


def test_a_program_has_one_text():
    assert disassemble(short_program()) == SHORT


def test_every_operand_and_parameter_of_an_instruction_is_shown():
    text = disassemble(full_program())
    for line in LINES.splitlines():
        assert line in text.splitlines()
    assert text.splitlines()[0] == 'program "every instruction"'
    assert "scale 0.5 0.125" in text


def test_every_change_shows():
    program = full_program()
    conv = program.instructions[2]
    changes = {
        "pad": (1, 0),
        "stride": (2, 1),
        "dilation": (1, 2),
        "hi": 126,
        "waits": (1, 0, 0, 0, 0, 0),
        "table": 16,
        "weight": replace(conv.weight, strides=(1, 1, 1, 2)),
        "layer": "other",
    }
    texts = {disassemble(program)}
    for name, value in changes.items():
        items = list(program.instructions)
        items[2] = replace(conv, **{name: value})
        texts.add(disassemble(replace(program, instructions=tuple(items))))
    texts.add(disassemble(replace(program, constants=program.constants[:-1] + b"\1")))
    assert len(texts) == len(changes) + 2


def test_the_command_prints_the_text(tmp_path, capsys):
    path = tmp_path / "model.hbm"
    write(short_program(), path)
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == SHORT


def test_the_command_refuses_a_bad_file(tmp_path):
    path = tmp_path / "model.hbm"
    path.write_bytes(b"HBMFLOW")
    command = [sys.executable, "-m", "horizon.hbm", str(path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (f"error: {path}: header: a file of 7 bytes; expected at least 64\n")
