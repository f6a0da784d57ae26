using System.Diagnostics;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

public sealed class NvmeBackingTests : IDisposable
{
    private const int Size = 1 << 20;

    private readonly TemporaryFolder _folder = new();
    private readonly ResourceLedger _ledger = new();

    public static TheoryData<string> Kinds => ["memory", "file"];

    private string Image => _folder.File("disk.img");

    public void Dispose()
    {
        _folder.Dispose();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Backing_RandomAccesses_AreThoseOfAnArray(string kind)
    {
        using INvmeBacking backing = Make(kind);
        byte[] model = new byte[Size];
        byte[] data = new byte[200_000];
        byte[] read = new byte[200_000];
        var random = new Random(3);
        for (int round = 0; round < 300; round++)
        {
            int length = random.Next(round % 2 == 0 ? 5000 : data.Length);
            int offset = random.Next(Size - length + 1);
            switch (random.Next(4))
            {
                case 0:
                    random.NextBytes(data.AsSpan(0, length));
                    Assert.Equal(Errno.None, backing.Write((ulong)offset, data.AsSpan(0, length)));
                    data.AsSpan(0, length).CopyTo(model.AsSpan(offset));
                    break;
                case 1:
                    Assert.Equal(Errno.None, backing.Zero((ulong)offset, (ulong)length, deallocate: random.Next(2) == 0));
                    model.AsSpan(offset, length).Clear();
                    break;
                default:
                    Assert.Equal(Errno.None, backing.Read((ulong)offset, read.AsSpan(0, length)));
                    Assert.True(model.AsSpan(offset, length).SequenceEqual(read.AsSpan(0, length)));
                    break;
            }
        }

        Assert.Equal((Size, false), ((int)backing.Length, backing.IsReadOnly));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Backing_OutsideOfIt_IsRefused(string kind)
    {
        using INvmeBacking backing = Make(kind);
        foreach (ulong offset in new[] { (ulong)Size - 1, (ulong)Size, ulong.MaxValue, ulong.MaxValue - 1, 1ul << 63 })
        {
            Assert.Equal(Errno.EFAULT, backing.Read(offset, new byte[2]));
            Assert.Equal(Errno.EFAULT, backing.Write(offset, new byte[2]));
            Assert.Equal(Errno.EFAULT, backing.Zero(offset, 2, deallocate: true));
            Assert.Equal(Errno.EFAULT, backing.Zero(2, offset, deallocate: false));
        }

        if (kind == "file")
        {
            Assert.Equal(Size, new FileInfo(Image).Length);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Backing_Transfers_AllocateNothing(string kind)
    {
        using INvmeBacking backing = Make(kind);
        byte[] data = new byte[4096];
        Errno worst = Errno.None;
        int flushes = 0;
        Assert.Equal(0, AllocatedBytes.In(50, round =>
        {
            worst |= backing.Write(4096, data);
            worst |= backing.Read(4096, data);
            worst |= backing.Zero(4096, 512, deallocate: false);
            worst |= backing.Zero(0, 128 << 10, deallocate: true);
            if (round == 0)
            {
                worst |= backing.Flush();
                flushes++;
            }
        }));
        Assert.Equal(Errno.None, worst);
        Assert.Equal(flushes, backing.FlushCount);
    }

    [Fact]
    public void Memory_OfManyGigabytes_TakesOnlyWhatIsWritten()
    {
        using var backing = new MemoryNvmeBacking(64ul << 30, _ledger);
        Assert.Equal(Errno.None, backing.Write((64ul << 30) - 512, new byte[512]));
        Assert.Equal(Errno.None, backing.Zero(0, 64ul << 30, deallocate: false));
        Assert.InRange(Process.GetCurrentProcess().WorkingSet64, 0, 8L << 30);
    }

    [Fact]
    public void File_Deallocated_GivesRoomBackAndReadsAsZeroes()
    {
        using INvmeBacking backing = Make("file");
        Assert.True(backing.CanDeallocate);
        Assert.Equal(Errno.None, backing.Write(0, Enumerable.Repeat((byte)1, Size).ToArray()));
        backing.Flush();
        long full = BlocksOf(Image);
        Assert.Equal(Errno.None, backing.Zero(65536, 512 << 10, deallocate: true));
        backing.Flush();
        Assert.InRange(BlocksOf(Image), 1, full - 1);
        byte[] read = new byte[Size];
        backing.Read(0, read);
        Assert.Equal(512 << 10, read.Count(b => b == 0));
    }

    [Fact]
    public void File_WithASizeAndNotThere_IsMadeSparseForItsOwner()
    {
        using (FileNvmeBacking.Open(Image, 512, createLength: 64ul << 20, ledger: _ledger))
        {
            Assert.Equal(64 << 20, new FileInfo(Image).Length);
            Assert.InRange(BlocksOf(Image), 0, 100);
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, new FileInfo(Image).UnixFileMode);
        }

        using FileNvmeBacking again = FileNvmeBacking.Open(Image, 4096, createLength: 64ul << 20, ledger: _ledger);
        Assert.Equal(64ul << 20, again.Length);
    }

    [Fact]
    public void File_Written_IsThereForTheNext()
    {
        using (INvmeBacking backing = Make("file"))
        {
            backing.Write(512, [1, 2, 3]);
        }

        using var reader = FileNvmeBacking.Open(Image, 512, readOnly: true, ledger: _ledger);
        byte[] read = new byte[3];
        Assert.Equal(Errno.None, reader.Read(512, read));
        Assert.Equal([1, 2, 3], read);
        Assert.Equal((Errno.EROFS, Errno.EROFS), (reader.Write(0, read), reader.Zero(0, 1, true)));
        Assert.Equal((true, false), (reader.IsReadOnly, reader.CanDeallocate));
    }

    [Fact]
    public void File_MadeShorterByOthers_IsAnErrorOfTheMedium()
    {
        using INvmeBacking backing = Make("file");
        using (Process other = Process.Start("truncate", ["-s", "1000", Image]))
        {
            other.WaitForExit();
        }

        // What was behind the new end is lost, and a write there must not bring zeroes back in its place.
        Assert.Equal((Errno.EIO, Errno.None), (backing.Read(512, new byte[512]), backing.Read(0, new byte[512])));
        Assert.Equal((Errno.EIO, Errno.EIO), (backing.Write(512, new byte[512]), backing.Write(Size - 512, new byte[512])));
        Assert.Equal((Errno.EIO, Errno.EIO), (backing.Zero(4096, 512, deallocate: true), backing.Zero(4096, 512, deallocate: false)));
        Assert.Equal(Errno.None, backing.Write(0, new byte[512]));
        Assert.Equal(1000, new FileInfo(Image).Length);
        Assert.Equal((Errno.EIO, 0L), (backing.Flush(), backing.FlushCount));
    }

    [Fact]
    public void File_InUse_IsRefusedForASecondWriterAndReader()
    {
        using (INvmeBacking first = Make("file"))
        {
            Assert.Equal(Errno.EBUSY, Error(() => FileNvmeBacking.Open(Image, ledger: _ledger)).Errno);
            VfioException error = Error(() => FileNvmeBacking.Open(Image, readOnly: true, ledger: _ledger));
            Assert.Contains("another server has it in use; end that first", error.Message, StringComparison.Ordinal);
        }

        using var reader = FileNvmeBacking.Open(Image, readOnly: true, ledger: _ledger);
        using var second = FileNvmeBacking.Open(Image, readOnly: true, ledger: _ledger);
        Assert.Equal(Errno.EBUSY, Error(() => FileNvmeBacking.Open(Image, ledger: _ledger)).Errno);
    }

    [Fact]
    public void File_HandedOver_IsUsedByOneAtATime()
    {
        using INvmeBacking source = Make("file");
        using INvmeBacking target = FileNvmeBacking.Open(Image, awaited: true, ledger: _ledger);
        Assert.Equal((Errno.EBUSY, Errno.EBUSY, Errno.EBUSY), (target.Activate(), target.Write(0, [1]), target.Flush()));
        Assert.Contains("not in use", target.Description, StringComparison.Ordinal);
        Assert.Equal(Errno.None, source.Write(0, [1]));
        source.Deactivate();
        Assert.Equal(Errno.EBUSY, source.Write(0, [2]));

        // The one that waits takes it by itself when it is first used.
        byte[] read = new byte[1];
        Assert.Equal((Errno.None, 1), (target.Read(0, read), read[0]));
        Assert.Equal((Errno.EBUSY, Errno.EBUSY), (source.Activate(), source.Read(0, read)));
        target.Deactivate();
        Assert.Equal((Errno.None, Errno.None), (source.Write(0, [3]), source.Activate()));
        Assert.Equal(Errno.EBUSY, target.Read(0, read));
    }

    [Fact]
    public void Flush_EachThatSucceeds_IsCounted()
    {
        using INvmeBacking backing = Make("file");
        backing.Write(0, [1]);
        Assert.Equal(0, backing.FlushCount);
        Assert.Equal((Errno.None, Errno.None, 2L), (backing.Flush(), backing.Flush(), backing.FlushCount));
    }

    [Fact]
    public void Open_WhatIsNoImage_SaysWhatAndWhy()
    {
        File.WriteAllBytes(Image, new byte[1000]);
        AssertRefused(Errno.EINVAL, "1000 bytes are not a whole number of blocks of 512 bytes", () => Open(Image));
        AssertRefused(Errno.EINVAL, "it has 1000 bytes, not 1024", () => Open(Image, size: 1024));
        File.WriteAllBytes(Image, []);
        AssertRefused(Errno.EINVAL, "it is empty; give a size", () => Open(Image));
        File.WriteAllBytes(Image, new byte[1024]);
        AssertRefused(Errno.EINVAL, "1024 bytes are not a whole number of blocks of 4096", () => Open(Image, block: 4096));
        AssertRefused(Errno.EINVAL, "it has 1024 bytes, not 2048; leave the size out", () => Open(Image, size: 2048));
        AssertRefused(Errno.EISDIR, "it is a directory", () => Open(_folder.Path));
        AssertRefused(Errno.EINVAL, "not a regular file", () => FileNvmeBacking.Open(_folder.Path, readOnly: true, ledger: _ledger));
        AssertRefused(Errno.EINVAL, "not a regular file", () => Open("/dev/null"));
        AssertRefused(Errno.ENOENT, "there is no such file; give a size as well", () => Open(Image + "2"));
        AssertRefused(Errno.ENOENT, "a read-only disk needs an image that is there", () => FileNvmeBacking.Open(Image + "2", readOnly: true, createLength: 512, ledger: _ledger));
        AssertRefused(Errno.ENOENT, "its folder is not there", () => Open(_folder.File("no/disk"), size: 512));
        AssertRefused(Errno.EINVAL, "513 bytes are not a whole number of blocks", () => Open(Image + "2", size: 513));
        Assert.False(File.Exists(Image + "2"));
    }

    [Fact]
    public void Open_EmptyFileWithASize_GetsIt()
    {
        File.WriteAllBytes(Image, []);
        using FileNvmeBacking backing = Open(Image, size: 8192);
        Assert.Equal(8192, new FileInfo(Image).Length);
    }

    private static VfioException Error(Action open) => Assert.Throws<VfioException>(open);

    private static void AssertRefused(Errno errno, string why, Func<FileNvmeBacking> open)
    {
        VfioException error = Error(() => open().Dispose());
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.StartsWith("image '", error.Message, StringComparison.Ordinal);
        Assert.Equal(errno, error.Errno);
    }

    /// <summary>How many units of 512 bytes the file takes on its file system.</summary>
    private static long BlocksOf(string path)
    {
        using var stat = Process.Start(new ProcessStartInfo("stat", ["-c", "%b", path]) { RedirectStandardOutput = true })!;
        string text = stat.StandardOutput.ReadToEnd();
        stat.WaitForExit();
        return long.Parse(text, System.Globalization.CultureInfo.InvariantCulture);
    }

    private FileNvmeBacking Open(string path, int block = 512, ulong? size = null) =>
        FileNvmeBacking.Open(path, block, createLength: size, ledger: _ledger);

    private INvmeBacking Make(string kind) =>
        kind == "memory" ? new MemoryNvmeBacking(Size, _ledger) : FileNvmeBacking.Open(Image, 512, createLength: Size, ledger: _ledger);
}
