using Microsoft.Win32.SafeHandles;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Files behind DMA_MAP that are not what the client says: shorter, huge, or cut off later.</summary>
public sealed class DmaMapFileTests
{
    private const uint ByFileIo = 11;

    [Theory]
    [InlineData(0x1000ul, 0ul, 0x2000ul)]
    [InlineData(0x1000ul, 0x1000ul, 0x1000ul)]
    [InlineData(0x1000ul, 0xfffff000ul, 0x1000ul)]
    [InlineData(0x1000ul, 0xffff_ffff_ffff_f000ul, 0x1000ul)]
    [InlineData(0x1000ul, 0x7fff_ffff_ffff_f000ul, 0x1000ul)]
    [InlineData(0ul, 0ul, 0x1000ul)]
    [InlineData(1ul, 0ul, 0x1000ul)]
    public void FileThatIsShorterThanClaimed_IsRefusedBothWays(ulong length, ulong offset, ulong size)
    {
        using var served = new ServedFunction();
        using (WireClient client = served.ConnectEnabled())
        using (MemoryFile memory = Handles.Memory(length))
        {
            Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaMap, WireClient.Map(0, size, offset: offset), memory.Number()));
            Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaMap, WireClient.Map(0, size, ByFileIo, offset: offset), memory.Number()));
            Assert.Equal(Errno.EFAULT, served.DmaRead(0, new byte[1]));
            client.AssertAlive();
        }

        served.NextEnd();
        served.AssertBalanced();
    }

    [Theory]
    [InlineData(0ul, 3u)]
    [InlineData(1ul << 40, 3u)]
    [InlineData((1ul << 62) - 0x1000, 3u)]
    [InlineData(1ul << 61, ByFileIo)]
    public void SparseFileOf2To62Bytes_IsMappedAsFarAsAskedForOnly(ulong offset, uint flags)
    {
        using var served = new ServedFunction();
        using (WireClient client = served.ConnectEnabled())
        using (MemoryFile sparse = HostileFiles.Sparse())
        {
            client.Succeed(Cmd.DmaMap, WireClient.Map(0x1000, 0x1000, flags, offset: offset), sparse.Number());
            Assert.Equal(Errno.None, served.DmaWrite(0x1ff8, [1, 2, 3, 4, 5, 6, 7, 8]));
            byte[] back = new byte[8];
            Assert.Equal(Errno.None, served.DmaRead(0x1ff8, back));
            Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], back);
            client.AssertAlive();
        }

        served.NextEnd();
        served.AssertBalanced();
    }

    [Theory]
    [InlineData(1ul << 62)]
    [InlineData(1ul << 48)]
    public void SparseFileMappedWhole_IsAnErrorOrWorks_AndTheSessionLives(ulong size)
    {
        using var served = new ServedFunction();
        using (WireClient client = served.ConnectEnabled())
        using (MemoryFile sparse = HostileFiles.Sparse())
        {
            if (client.Try(Cmd.DmaMap, WireClient.Map(0, size), sparse.Number()) == Errno.None)
            {
                Assert.Equal(Errno.None, served.DmaWrite(size - 8, new byte[8]));
            }

            client.AssertAlive();
        }

        served.NextEnd();
        served.AssertBalanced();
    }

    /// <summary>Our own user's unsealed memory is trusted and mapped, and only that could end the process; see docs/threat-model.md.</summary>
    [Theory]
    [InlineData(true, 3u)]
    [InlineData(false, ByFileIo)]
    public async Task FileThatIsCutOffWhileItIsInUse_IsAnErrorOfTheTransfer(bool guard, uint flags)
    {
        using var served = new ServedFunction(new VfioUserServerOptions { Guard = guard });
        string path = Path.GetTempFileName();
        using (WireClient client = served.ConnectEnabled())
        using (SafeFileHandle file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite))
        {
            RandomAccess.SetLength(file, 0x4000);
            client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x4000, flags), file.Number());
            byte[] data = new byte[0x4000];
            Assert.Equal(Errno.None, served.DmaRead(0, data));
            using var stop = new CancellationTokenSource();
            Task cutting = Task.Factory.StartNew(
                () =>
                {
                    while (!stop.IsCancellationRequested)
                    {
                        RandomAccess.SetLength(file, 0x1000);
                        RandomAccess.SetLength(file, 0x4000);
                    }
                },
                TaskCreationOptions.LongRunning);
            for (int i = 0; i < 2000; i++)
            {
                Assert.Contains(served.DmaRead(0, data), new[] { Errno.None, Errno.EFAULT });
            }

            await stop.CancelAsync();
            await cutting;
            RandomAccess.SetLength(file, 0);
            Assert.Equal(Errno.EFAULT, served.DmaRead(0x1000, data.AsSpan(0, 16)));
            client.AssertAlive();
        }

        File.Delete(path);
        served.NextEnd();
        served.AssertBalanced();
    }

    [Fact]
    public void SealedFile_CannotBeCutOff()
    {
        using var served = new ServedFunction();
        using WireClient client = served.ConnectEnabled();
        using MemoryFile memory = MemoryFile.Create("sealed", 0x4000, MemorySeals.Shrink);
        client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x4000), memory.Number());
        using var handle = new SafeFileHandle(memory.Number(), ownsHandle: false);
        Assert.ThrowsAny<Exception>(() => RandomAccess.SetLength(handle, 0));
        Assert.Equal(Errno.None, served.DmaRead(0x3ff0, new byte[16]));
    }

    [Theory]
    [InlineData("/dev/null")]
    [InlineData("/")]
    [InlineData("/proc/self/maps")]
    public void DescriptorThatIsNoMemory_IsRefused(string path)
    {
        using var served = new ServedFunction();
        using (WireClient client = served.ConnectEnabled())
        using (OwnedDescriptor file = OpenAny(path))
        {
            Assert.NotEqual(Errno.None, client.Try(Cmd.DmaMap, WireClient.Map(0, 0x1000, 1), file.Value));
            Assert.NotEqual(Errno.None, client.Try(Cmd.DmaMap, WireClient.Map(0, 0x1000, 9), file.Value));
            client.AssertAlive();
        }

        served.NextEnd();
        served.AssertBalanced();
    }

    private static OwnedDescriptor OpenAny(string path) => new(Handles.Open(path));
}
