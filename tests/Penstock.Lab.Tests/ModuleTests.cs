using System.Buffers.Binary;
using System.Text;
using Penstock.Lab.Kernel;

namespace Penstock.Lab.Tests;

public sealed class ModuleTests
{
    /// <summary>An ELF-64 file of three sections: none, names, .modinfo.</summary>
    internal static byte[] Module(string modinfo, bool bigEndian = false)
    {
        var names = "\0.shstrtab\0.modinfo\0"u8.ToArray();
        var info = Encoding.UTF8.GetBytes(modinfo);
        var file = new byte[64 + names.Length + info.Length + (3 * 64)];
        var table = 64 + names.Length + info.Length;
        void Put(int at, int size, ulong value)
        {
            Span<byte> bytes = stackalloc byte[8];
            if (bigEndian)
            {
                BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
                bytes[(8 - size)..].CopyTo(file.AsSpan(at));
            }
            else
            {
                BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
                bytes[..size].CopyTo(file.AsSpan(at));
            }
        }

        byte[] ident = [0x7F, (byte)'E', (byte)'L', (byte)'F', 2, bigEndian ? (byte)2 : (byte)1, 1];
        ident.CopyTo(file, 0);
        Put(40, 8, (ulong)table);
        Put(58, 2, 64);
        Put(60, 2, 3);
        Put(62, 2, 1);
        names.CopyTo(file, 64);
        info.CopyTo(file, 64 + names.Length);
        Put(table + 64, 4, 1);
        Put(table + 64 + 24, 8, 64);
        Put(table + 64 + 32, 8, (ulong)names.Length);
        Put(table + 128, 4, 11);
        Put(table + 128 + 24, 8, (ulong)(64 + names.Length));
        Put(table + 128 + 32, 8, (ulong)info.Length);
        return file;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Read_ModinfoOfEitherByteOrder_GivesDependsSoftdepsAndAliases(bool bigEndian)
    {
        var info = ModuleInfo.Read(Module(
            "license=GPL\0depends=vfio-pci-core,irqbypass\0softdep=pre: a-b c post: d\0alias=pci:v00008086d*\0alias=edu\0", bigEndian));
        Assert.Equal(["vfio_pci_core", "irqbypass"], info.Depends);
        Assert.Equal(["a_b", "c", "d"], info.SoftDependencies);
        Assert.Equal(["pci:v00008086d*", "edu"], info.Aliases);
    }

    [Fact]
    public void Read_CutOrOtherFiles_ThrowsInvalidData()
    {
        var module = Module("depends=\0");
        for (var length = 0; length < module.Length; length++)
        {
            Assert.Throws<InvalidDataException>(() => ModuleInfo.Read(module.AsSpan(0, length)));
        }
    }

    [Fact]
    public async Task SelectAsync_OneName_TakesItsDependenciesAndWritesTheirOrder()
    {
        using var folder = new TemporaryFolder();
        var top = folder.File("6.1");
        Directory.CreateDirectory(Path.Combine(top, "kernel/x"));
        void Write(string name, string modinfo) => File.WriteAllBytes(Path.Combine(top, "kernel/x", name), Module(modinfo));
        Write("top-one.ko", "depends=middle,low\0alias=pci:v1\0");
        Write("middle.ko", "depends=low\0softdep=pre: soft\0");
        Write("low.ko", "depends=\0");
        Write("soft.ko", "depends=\0");
        Write("unwanted.ko", "depends=\0");
        await File.WriteAllTextAsync(Path.Combine(top, "modules.builtin"), "kernel/y/built-in.ko\n");

        var selection = await ModuleSelection.SelectAsync(
            top, ["top_one", "built-in", "nowhere"], folder.File("work"), LabEnvironment.OfProcess, CancellationToken.None);

        Assert.Equal(["low", "middle", "soft", "top_one"], selection.Modules.Select(m => m.Name).Order());
        Assert.Equal(["nowhere"], selection.Absent);
        // modprobe loads a line's dependencies from its end.
        Assert.Equal(
            "kernel/x/low.ko:\nkernel/x/middle.ko: kernel/x/low.ko\nkernel/x/soft.ko:\nkernel/x/top-one.ko: kernel/x/middle.ko kernel/x/low.ko\n",
            selection.Dependencies());
        Assert.Equal("alias pci:v1 top_one\n", selection.Aliases());
        var indexes = selection.BinaryIndexes().ToDictionary(i => i.Name, i => Entries(i.Content));
        Assert.Equal([("low", "kernel/x/low.ko:"), ("middle", "kernel/x/middle.ko: kernel/x/low.ko")], indexes["modules.dep.bin"].Take(2));
        Assert.Equal("top_one", indexes["modules.dep.bin"][^1].Key);
        Assert.Equal([("pci:v1", "top_one")], indexes["modules.alias.bin"]);
        Assert.Equal([("built_in", "")], indexes["modules.builtin.bin"]);
        Assert.Empty(indexes["modules.symbols.bin"]);
    }

    [Fact]
    public void ModuleIndex_Written_ReadsBackInOrder()
    {
        (string, string)[] entries =
            [("pci:v1*", "b"), ("", "root"), ("pci:v1*", "a"), ("pci:v1", "c"), ("usb:[0-9]", "d"), ("pci:v1*d2", "e"), ("pci:v1*", "b"), ("pci:ä", "f")];
        Assert.Equal(
            [("", "root"), ("pci:v1", "c"), ("pci:v1*", "b"), ("pci:v1*", "a"), ("pci:v1*d2", "e"), ("usb:[0-9]", "d")],
            Entries(ModuleIndex.Write(entries)));
    }

    [Fact]
    public void ModuleIndex_OneEntry_GivesTheGoldenBytes()
    {
        Assert.Equal(
            "B007F45700020001C000000C" + "61626300" + "00000001" + "00000000" + "787900",
            Convert.ToHexString(ModuleIndex.Write([("abc", "xy")])));
    }

    /// <summary>Walks an index as libkmod does.</summary>
    private static List<(string Key, string Value)> Entries(byte[] index)
    {
        var found = new List<(string, string)>();
        uint Number(int at) => BinaryPrimitives.ReadUInt32BigEndian(index.AsSpan(at));
        string Text(ref int at)
        {
            var start = at;
            at = Array.IndexOf(index, (byte)0, at) + 1;
            return Encoding.UTF8.GetString(index, start, at - 1 - start);
        }

        void Walk(uint place, string key)
        {
            var at = (int)(place & 0x0FFFFFFF);
            key += (place & 0x80000000) != 0 ? Text(ref at) : "";
            var children = new List<(uint Place, string Key)>();
            if ((place & 0x20000000) != 0)
            {
                var (first, last) = (index[at], index[at + 1]);
                children.AddRange(Enumerable.Range(first, last - first + 1).Select(c => (Number(at + 2 + (4 * (c - first))), key + (char)c)));
                at += 2 + (4 * children.Count);
            }

            if ((place & 0x40000000) != 0)
            {
                var count = Number(at);
                at += 4;
                for (var i = 0; i < count; i++)
                {
                    at += 4;
                    found.Add((key, Text(ref at)));
                }
            }

            children.Where(c => c.Place != 0).ToList().ForEach(c => Walk(c.Place, c.Key));
        }

        Assert.Equal((0xB007F457u, 0x00020001u), (Number(0), Number(4)));
        Walk(Number(8), "");
        return found;
    }

    [Fact]
    public async Task SelectAsync_CompressedModuleWithoutItsTool_NamesToolAndPackage()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("6.1"));
        await File.WriteAllTextAsync(folder.File("6.1/a.ko.xz"), "");
        var nothing = new LabEnvironment(name => name == "PATH" ? folder.File("empty") : null);
        var error = await Assert.ThrowsAsync<LabException>(() => ModuleSelection.SelectAsync(
            folder.File("6.1"), ["a"], folder.File("work"), nothing, CancellationToken.None));
        Assert.Contains("xz is needed", error.Message, StringComparison.Ordinal);
        Assert.Contains("apt-get install xz-utils", error.Message, StringComparison.Ordinal);
    }
}
