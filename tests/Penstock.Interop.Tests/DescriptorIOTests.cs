namespace Penstock.Interop.Tests;

public sealed class DescriptorIOTests
{
    [Fact]
    public void WriteAtThenReadAt_MoveTheBytes()
    {
        using MemoryFile file = MemoryFile.Create("bytes", 100);
        byte[] back = new byte[4];
        Assert.Equal(Errno.None, DescriptorIO.WriteAt(file.Descriptor.Value, 50, [1, 2, 3, 4], out int moved));
        Assert.Equal(4, moved);
        Assert.Equal(Errno.None, DescriptorIO.ReadAt(file.Descriptor.Value, 50, back, out moved));
        Assert.Equal(4, moved);
        Assert.Equal([1, 2, 3, 4], back);
    }

    [Fact]
    public void ReadAt_OverTheEnd_GivesWhatThereIs()
    {
        using MemoryFile file = MemoryFile.Create("short", 100);
        byte[] bytes = new byte[20];
        Assert.Equal(Errno.None, DescriptorIO.ReadAt(file.Descriptor.Value, 90, bytes, out int moved));
        Assert.Equal(10, moved);
        Assert.Equal(Errno.None, DescriptorIO.ReadAt(file.Descriptor.Value, 1000, bytes, out moved));
        Assert.Equal(0, moved);
    }

    [Fact]
    public void WriteAt_SealedAgainstGrowing_ReportsHowFarItCame()
    {
        using MemoryFile file = MemoryFile.Create("fixed", 4096, MemorySeals.Grow);
        Assert.Equal(Errno.EPERM, DescriptorIO.WriteAt(file.Descriptor.Value, 4096, new byte[1], out int moved));
        Assert.Equal(0, moved);
        Assert.Equal(4096ul, FileFacts.Of(file.Descriptor.Value).Size);
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData((ulong)long.MaxValue)]
    [InlineData((ulong)long.MaxValue - 7)]
    public void ReadAtAndWriteAt_PositionsThatNoFileHas_Overflow(ulong offset)
    {
        using MemoryFile file = MemoryFile.Create("far", 100);
        Assert.Equal(Errno.EOVERFLOW, DescriptorIO.ReadAt(file.Descriptor.Value, offset, new byte[8], out _));
        Assert.Equal(Errno.EOVERFLOW, DescriptorIO.WriteAt(file.Descriptor.Value, offset, new byte[8], out _));
    }

    [Fact]
    public void ReadAtAndWriteAt_WrongDescriptors_GiveTheError()
    {
        (OwnedDescriptor read, OwnedDescriptor write) = Libc.Pipe();
        using (read)
        using (write)
        {
            Assert.Equal(Errno.ESPIPE, DescriptorIO.ReadAt(read.Value, 0, new byte[8], out _));
            Assert.Equal(Errno.ESPIPE, DescriptorIO.WriteAt(write.Value, 0, new byte[8], out _));
            Assert.Equal(Errno.EBADF, DescriptorIO.ReadAt(int.MaxValue, 0, new byte[8], out _));
        }
    }
}
