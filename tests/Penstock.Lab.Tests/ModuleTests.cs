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
        var top = folder["6.1"];
        Directory.CreateDirectory(Path.Combine(top, "kernel/x"));
        void Write(string name, string modinfo) => File.WriteAllBytes(Path.Combine(top, "kernel/x", name), Module(modinfo));
        Write("top-one.ko", "depends=middle,low\0alias=pci:v1\0");
        Write("middle.ko", "depends=low\0softdep=pre: soft\0");
        Write("low.ko", "depends=\0");
        Write("soft.ko", "depends=\0");
        Write("unwanted.ko", "depends=\0");
        await File.WriteAllTextAsync(Path.Combine(top, "modules.builtin"), "kernel/y/built-in.ko\n");

        var selection = await ModuleSelection.SelectAsync(
            top, ["top_one", "built-in", "nowhere"], folder["work"], LabEnvironment.OfProcess, CancellationToken.None);

        Assert.Equal(["low", "middle", "soft", "top_one"], selection.Modules.Select(m => m.Name).Order());
        Assert.Equal(["nowhere"], selection.Absent);
        // modprobe loads a line's dependencies from its end.
        Assert.Equal(
            "kernel/x/low.ko:\nkernel/x/middle.ko: kernel/x/low.ko\nkernel/x/soft.ko:\nkernel/x/top-one.ko: kernel/x/middle.ko kernel/x/low.ko\n",
            selection.Dependencies());
        Assert.Equal("alias pci:v1 top_one\n", selection.Aliases());
    }

    [Fact]
    public async Task SelectAsync_CompressedModuleWithoutItsTool_NamesToolAndPackage()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder["6.1"]);
        await File.WriteAllTextAsync(folder["6.1/a.ko.xz"], "");
        var nothing = new LabEnvironment(name => name == "PATH" ? folder["empty"] : null);
        var error = await Assert.ThrowsAsync<LabException>(() => ModuleSelection.SelectAsync(
            folder["6.1"], ["a"], folder["work"], nothing, CancellationToken.None));
        Assert.Contains("xz is needed", error.Message, StringComparison.Ordinal);
        Assert.Contains("apt-get install xz-utils", error.Message, StringComparison.Ordinal);
    }
}
