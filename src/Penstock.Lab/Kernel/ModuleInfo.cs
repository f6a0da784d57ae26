using System.Buffers.Binary;
using System.Text;

namespace Penstock.Lab.Kernel;

/// <summary>What a kernel module says of itself in its <c>.modinfo</c> section: strings <c>name=value</c>, each ended by a zero.</summary>
internal sealed record ModuleInfo(IReadOnlyList<string> Depends, IReadOnlyList<string> SoftDependencies, IReadOnlyList<string> Aliases)
{
    // ELF-64: System V ABI, chapters "ELF header" and "Sections".
    private const int EI_CLASS = 4;
    private const int EI_DATA = 5;
    private const byte ELFCLASS64 = 2;
    private const byte ELFDATA2MSB = 2;
    private const int HeaderSize = 64;
    private const int e_shoff = 40;
    private const int e_shentsize = 58;
    private const int e_shnum = 60;
    private const int e_shstrndx = 62;
    private const int SectionHeaderSize = 64;
    private const int sh_name = 0;
    private const int sh_offset = 24;
    private const int sh_size = 32;

    /// <summary>Module names as the kernel compares them: <c>-</c> and <c>_</c> are the same.</summary>
    public static string Canonical(string name) => name.Replace('-', '_');

    /// <summary>Reads a module file of either byte order.</summary>
    /// <exception cref="InvalidDataException">It is not a 64-bit ELF file with that section.</exception>
    public static ModuleInfo Read(ReadOnlySpan<byte> module)
    {
        var depends = new List<string>();
        var soft = new List<string>();
        var aliases = new List<string>();
        foreach (var line in Encoding.UTF8.GetString(Section(module, ".modinfo"u8)).Split('\0'))
        {
            var split = line.IndexOf('=', StringComparison.Ordinal);
            if (split < 0)
            {
                continue;
            }

            var value = line[(split + 1)..];
            switch (line[..split])
            {
                case "depends":
                    depends.AddRange(value.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(Canonical));
                    break;
                case "softdep":
                    // "pre: a b post: c"
                    soft.AddRange(value.Split(' ', StringSplitOptions.RemoveEmptyEntries).Where(w => !w.EndsWith(':')).Select(Canonical));
                    break;
                case "alias":
                    aliases.Add(value);
                    break;
            }
        }

        return new ModuleInfo(depends, soft, aliases);
    }

    private static ReadOnlySpan<byte> Section(ReadOnlySpan<byte> file, ReadOnlySpan<byte> wanted)
    {
        if (file.Length < HeaderSize || !file.StartsWith("\u007fELF"u8) || file[EI_CLASS] != ELFCLASS64)
        {
            throw new InvalidDataException("not a 64-bit ELF file");
        }

        var big = file[EI_DATA] == ELFDATA2MSB;
        var table = Slice(file, Number64(file[e_shoff..], big), (ulong)Number16(file[e_shnum..], big) * SectionHeaderSize);
        if (Number16(file[e_shentsize..], big) != SectionHeaderSize || Number16(file[e_shstrndx..], big) >= table.Length / SectionHeaderSize)
        {
            throw new InvalidDataException("its section headers are damaged");
        }

        var names = Content(file, table[(Number16(file[e_shstrndx..], big) * SectionHeaderSize)..], big);
        for (var at = 0; at < table.Length; at += SectionHeaderSize)
        {
            var name = Slice(names, Number32(table[(at + sh_name)..], big), 0, toEnd: true);
            if (name.StartsWith(wanted) && name.Length > wanted.Length && name[wanted.Length] == 0)
            {
                return Content(file, table[at..], big);
            }
        }

        throw new InvalidDataException("it has no .modinfo section");
    }

    private static ReadOnlySpan<byte> Content(ReadOnlySpan<byte> file, ReadOnlySpan<byte> header, bool big) =>
        Slice(file, Number64(header[sh_offset..], big), Number64(header[sh_size..], big));

    private static ReadOnlySpan<byte> Slice(ReadOnlySpan<byte> bytes, ulong offset, ulong length, bool toEnd = false) =>
        offset <= (ulong)bytes.Length && length <= (ulong)bytes.Length - offset
            ? toEnd ? bytes[(int)offset..] : bytes.Slice((int)offset, (int)length)
            : throw new InvalidDataException("it ends before its own contents do");

    private static ulong Number64(ReadOnlySpan<byte> at, bool big) =>
        big ? BinaryPrimitives.ReadUInt64BigEndian(at) : BinaryPrimitives.ReadUInt64LittleEndian(at);

    private static uint Number32(ReadOnlySpan<byte> at, bool big) =>
        big ? BinaryPrimitives.ReadUInt32BigEndian(at) : BinaryPrimitives.ReadUInt32LittleEndian(at);

    private static ushort Number16(ReadOnlySpan<byte> at, bool big) =>
        big ? BinaryPrimitives.ReadUInt16BigEndian(at) : BinaryPrimitives.ReadUInt16LittleEndian(at);
}
