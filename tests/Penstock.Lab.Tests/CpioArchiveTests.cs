using System.Text;
using Penstock.Lab.Initramfs;

namespace Penstock.Lab.Tests;

public sealed class CpioArchiveTests
{
    private static byte[] Written(Action<CpioArchive> add)
    {
        using var stream = new MemoryStream();
        var archive = new CpioArchive(stream);
        add(archive);
        archive.Complete();
        return stream.ToArray();
    }

    [Fact]
    public void AddFile_SmallFile_GivesTheGoldenBytes()
    {
        var bytes = Written(a => a.AddFile("a", GuestFile.Readable, "hi"u8.ToArray()));
        const string Expected =
            "07070100000001000081A4000000000000000000000001000000000000000200000000000000000000000000000000000000020000" + "0000a\0" + "hi\0\0"
            + "0707010000000000000000000000000000000000000001000000000000000000000000000000000000000000000000" + "0000000B00000000" + "TRAILER!!!\0\0\0\0";
        Assert.Equal(Expected, Encoding.ASCII.GetString(bytes).TrimEnd('\0') + "\0\0\0\0");
        Assert.Equal(512, bytes.Length);
    }

    [Fact]
    public void Archive_ReadBack_HasEveryKindOfEntry()
    {
        var bytes = Written(a =>
        {
            a.AddFolder("tmp", (UnixFileMode)0x3FF);
            a.AddCharacterDevice("/dev/console", (UnixFileMode)0x180, 5, 1);
            a.AddLink("bin/sh", "busybox");
            a.AddFile("/bin/busybox", GuestFile.Executable, [1, 2, 3, 4, 5]);
        });
        var entries = CpioReader.Read(bytes);
        Assert.Equal(["tmp", "dev", "dev/console", "bin", "bin/sh", "bin/busybox", "TRAILER!!!"], entries.Select(e => e.Name));
        Assert.Equal([0x43FFu, 0x41EDu, 0x2180u, 0x41EDu, 0xA1FFu, 0x81EDu, 0u], entries.Select(e => e.Mode));
        Assert.Equal((5u, 1u), (entries[2].Major, entries[2].Minor));
        Assert.Equal("busybox", Encoding.UTF8.GetString(entries[4].Content));
        Assert.Equal([1, 2, 3, 4, 5], entries[5].Content);
    }

    [Fact]
    public void Archive_AppendedToAnother_ReadsAsOne()
    {
        byte[] both = [.. Written(a => a.AddFile("x/one", GuestFile.Readable, [1])), .. Written(a => a.AddFile("x/two", GuestFile.Readable, [2]))];
        Assert.Equal(["x", "x/one", "TRAILER!!!", "x", "x/two", "TRAILER!!!"], CpioReader.Read(both).Select(e => e.Name));
    }

    [Fact]
    public void Overlay_FoldersOfTheBase_AreNotRepeated()
    {
        using var stream = new MemoryStream();
        var archive = BaseInitramfs.Overlay(stream);
        archive.AddFile("/tmp/a", GuestFile.Readable, []);
        archive.AddFile("/data/b", GuestFile.Readable, []);
        archive.Complete();
        Assert.Equal(["tmp/a", "data", "data/b", "TRAILER!!!"], CpioReader.Read(stream.ToArray()).Select(e => e.Name));
    }

    [Fact]
    public void AddFile_ContentShorterThanSaid_Throws()
    {
        Assert.Throws<IOException>(() => Written(a => a.AddFile("a", GuestFile.Readable, new MemoryStream([1]), 2)));
    }
}
