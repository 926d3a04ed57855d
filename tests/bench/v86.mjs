// SPDX-License-Identifier: MIT
// usage: node v86.mjs V86_DIR KERNEL MEGABYTES COMMAND_LINE [INITRD]
// Boots a bzImage in v86; its serial port is this program's standard input and output.
// V86_DIR is the npm package. The BIOS is Debian's SeaBIOS.
import fs from "node:fs";

const [v86Dir, kernel, megabytes, commandLine, initrd] = process.argv.slice(2);
const {V86} = await import(`${v86Dir}/build/libv86.mjs`);

function image(path) {
    const bytes = fs.readFileSync(path);
    return {buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)};
}

const emulator = new V86({
    wasm_path: `${v86Dir}/build/v86.wasm`,
    bios: image("/usr/share/seabios/bios.bin"),
    vga_bios: image("/usr/share/seabios/vgabios-stdvga.bin"),
    memory_size: Number(megabytes) << 20,
    vga_memory_size: 2 << 20,
    bzimage: image(kernel),
    initrd: initrd && image(initrd),
    cmdline: commandLine,
    acpi: false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    autostart: true,
});
emulator.add_listener("serial0-output-byte", (byte) => process.stdout.write(Uint8Array.of(byte)));
process.stdin.on("data", (bytes) => bytes.forEach((byte) => emulator.bus.send("serial0-input", byte)));
process.stdin.on("end", () => process.exit());
