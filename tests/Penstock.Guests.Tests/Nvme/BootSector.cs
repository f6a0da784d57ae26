using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Penstock.Guests.Tests;

/// <summary>
/// The beginning of a disk that an x86 machine's firmware boots from: a program of 140 bytes that does all its reading and writing through the
/// firmware's own disk driver (INT 13h). At each boot it reads a sector with a counter and 32 KiB of data, compares the data's sum, writes the
/// counter back increased by one, tells it on the first serial line and resets the machine, until the counter has come to its end.
/// </summary>
internal static class BootSector
{
    /// <summary>What the program says at its first boot; the number at the end goes up by one with each.</summary>
    public const string Said = "boot sector: boot ";

    /// <summary>What it says when a sector cannot be read or written, or the sum is wrong.</summary>
    public const string Failed = "boot sector: failed";

    private const int SectorSize = 512;
    private const int DataSectors = 64;
    private const int PacketsOffset = 0x90;
    private const int TextOffset = 0xb0;

    private static ReadOnlySpan<byte> Program =>
    [
        0xfa,                         // 7c00 cli
        0x31, 0xc0,                   //      xor ax, ax
        0x8e, 0xd8,                   //      mov ds, ax
        0x8e, 0xc0,                   //      mov es, ax
        0x8e, 0xd0,                   //      mov ss, ax
        0xbc, 0x00, 0x7c,             //      mov sp, 0x7c00
        0xfb,                         //      sti
        0xfc,                         //      cld
        0x88, 0x16, 0x8c, 0x7c,       //      mov [0x7c8c], dl       the drive that the firmware boots from
        0xbe, 0x90, 0x7c,             //      mov si, 0x7c90         the counter's sector
        0xb4, 0x42,                   //      mov ah, 0x42           extended read
        0xe8, 0x55, 0x00,             //      call 0x7c6f
        0xbe, 0xa0, 0x7c,             //      mov si, 0x7ca0         the data
        0xb4, 0x42,                   //      mov ah, 0x42
        0xe8, 0x4d, 0x00,             //      call 0x7c6f
        0xb8, 0x00, 0x10,             //      mov ax, 0x1000
        0x8e, 0xd8,                   //      mov ds, ax
        0x31, 0xf6,                   //      xor si, si
        0x66, 0x31, 0xdb,             //      xor ebx, ebx
        0xb9, 0x00, 0x20,             //      mov cx, 8192
        0x66, 0xad,                   // 7c2f lodsd
        0x66, 0x01, 0xc3,             //      add ebx, eax
        0xe2, 0xf9,                   //      loop 0x7c2f
        0x31, 0xc0,                   //      xor ax, ax
        0x8e, 0xd8,                   //      mov ds, ax
        0x66, 0x39, 0x1e, 0x08, 0x80, //      cmp [0x8008], ebx      the sum
        0x75, 0x37,                   //      jne 0x7c78
        0x66, 0xff, 0x06, 0x00, 0x80, //      inc dword [0x8000]     the counter
        0xbe, 0x90, 0x7c,             //      mov si, 0x7c90
        0xb8, 0x00, 0x43,             //      mov ax, 0x4300         extended write
        0xe8, 0x20, 0x00,             //      call 0x7c6f
        0xa0, 0x00, 0x80,             //      mov al, [0x8000]
        0x04, 0x30,                   //      add al, '0'
        0xa2, 0xc2, 0x7c,             //      mov [0x7cc2], al
        0xbe, 0xb0, 0x7c,             //      mov si, 0x7cb0
        0xe8, 0x23, 0x00,             //      call 0x7c80
        0x66, 0xa1, 0x00, 0x80,       //      mov eax, [0x8000]
        0x66, 0x3b, 0x06, 0x04, 0x80, //      cmp eax, [0x8004]      where it ends
        0x73, 0x04,                   //      jae 0x7c6c
        0xb0, 0xfe,                   //      mov al, 0xfe
        0xe6, 0x64,                   //      out 0x64, al           the keyboard controller resets the machine
        0xf4,                         // 7c6c hlt
        0xeb, 0xfd,                   //      jmp 0x7c6c
        0x8a, 0x16, 0x8c, 0x7c,       // 7c6f mov dl, [0x7c8c]
        0xcd, 0x13,                   //      int 0x13
        0x72, 0x01,                   //      jc 0x7c78
        0xc3,                         //      ret
        0xbe, 0xc5, 0x7c,             // 7c78 mov si, 0x7cc5
        0xe8, 0x02, 0x00,             //      call 0x7c80
        0xeb, 0xec,                   //      jmp 0x7c6c
        0xba, 0xf8, 0x03,             // 7c80 mov dx, 0x3f8
        0xac,                         // 7c83 lodsb
        0x84, 0xc0,                   //      test al, al
        0x74, 0x03,                   //      jz 0x7c8b
        0xee,                         //      out dx, al
        0xeb, 0xf8,                   //      jmp 0x7c83
        0xc3,                         // 7c8b ret
    ];

    /// <summary>Two packets of INT 13h: length, number of sectors, offset and segment in memory, first sector.</summary>
    private static ReadOnlySpan<byte> Packets =>
    [
        0x10, 0, 1, 0, 0x00, 0x80, 0x00, 0x00, 1, 0, 0, 0, 0, 0, 0, 0,
        0x10, 0, DataSectors, 0, 0x00, 0x00, 0x00, 0x10, 2, 0, 0, 0, 0, 0, 0, 0,
    ];

    /// <summary>The beginning of a disk that boots as many times.</summary>
    public static byte[] Create(int boots)
    {
        byte[] disk = new byte[(2 + DataSectors) * SectorSize];
        Program.CopyTo(disk);
        Packets.CopyTo(disk.AsSpan(PacketsOffset));
        System.Text.Encoding.ASCII.GetBytes($"{Said}0\n\0{Failed}\n\0", disk.AsSpan(TextOffset));
        BinaryPrimitives.WriteUInt16LittleEndian(disk.AsSpan(SectorSize - 2), 0xaa55);
        Span<byte> data = disk.AsSpan(2 * SectorSize);
        new Random(13).NextBytes(data);
        uint sum = 0;
        foreach (uint word in MemoryMarshal.Cast<byte, uint>(data))
        {
            sum += word;
        }

        Span<byte> counter = disk.AsSpan(SectorSize);
        BinaryPrimitives.WriteInt32LittleEndian(counter[4..], boots);
        BinaryPrimitives.WriteUInt32LittleEndian(counter[8..], sum);
        return disk;
    }

    /// <summary>How many boots the disk has seen.</summary>
    public static int CountBoots(ReadOnlySpan<byte> disk) => BinaryPrimitives.ReadInt32LittleEndian(disk[SectorSize..]);
}
