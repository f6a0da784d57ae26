using Penstock.Devices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Drivers.Tests;

/// <content>Queues of a user's own.</content>
public abstract partial class NvmeDriverTests
{
    [Fact]
    public void OwnQueue_BatchesOnTheUsersMemory_CompleteWithTheirTags()
    {
        using var disk = new DiskUnderTest(plug);
        using NvmeQueue queue = disk.Driver.CreateQueue(32);
        using DmaMemory memory = disk.Driver.AllocateMemory(1 << 20);
        byte[] data = Random(31 * 4096);
        data.CopyTo(memory.Bytes);
        Assert.Equal(31, queue.Depth);
        for (int i = 0; i < 31; i++)
        {
            Assert.True(queue.TrySubmit(NvmeIoOpcode.Write, (ulong)i * 8, 8, memory.Iova + ((ulong)i * 4096), tag: 100 + (ulong)i));
        }

        Assert.False(queue.TrySubmit(NvmeIoOpcode.Flush, 0, 1, 0));
        Assert.Equal(Errno.None, queue.Announce());
        Assert.Equal(Enumerable.Range(100, 31).Select(static t => (ulong)t), Complete(queue, 31).Select(static c => c.Tag).Order());
        Assert.Equal(0, queue.Outstanding);
        byte[] back = new byte[data.Length];
        disk.Driver.Read(0, back);
        Assert.Equal(data, back);
    }

    [Theory]
    [InlineData(0, 4096)]
    [InlineData(4, 4096)]
    [InlineData(512, 8192)]
    [InlineData(4092, 131072)]
    [InlineData(0, 131072)]
    public void OwnQueue_DataAtAnyWordOfAPage_IsMovedWhole(int offset, int length)
    {
        using var disk = new DiskUnderTest(plug);
        using NvmeQueue queue = disk.Driver.CreateQueue(8);
        using DmaMemory memory = disk.Driver.AllocateMemory(1 << 20);
        byte[] data = Random(length);
        disk.Driver.Write(0, data);
        Assert.True(queue.TrySubmit(NvmeIoOpcode.Read, 0, length / 512, memory.Iova + (ulong)offset, 1));
        queue.Announce();
        Assert.Equal(NvmeStatus.Success, Assert.Single(Complete(queue, 1)).Status);
        Assert.Equal(data, memory.Bytes.Slice(offset, length).ToArray());
        Assert.Equal(new byte[64], memory.Bytes.Slice(offset + length, 64).ToArray());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void OwnQueue_SubmitAndPoll_AllocateNothing(bool mapped)
    {
        using var disk = new DiskUnderTest(plug, new NvmeOptions { Poll = mapped });
        using NvmeQueue queue = disk.Driver.CreateQueue(64);
        using DmaMemory memory = disk.Driver.AllocateMemory(1 << 20);
        var completed = new NvmeCompleted[64];
        Assert.Equal(0, AllocatedBytes.In(100, _ =>
        {
            for (int i = 0; i < 32; i++)
            {
                queue.TrySubmit(i % 2 == 0 ? NvmeIoOpcode.Read : NvmeIoOpcode.Write, (ulong)i * 8, 8, memory.Iova + ((ulong)i * 4096), (ulong)i);
            }

            queue.Announce();
            var spinner = new SpinWait();
            for (int done = 0; done < 32;)
            {
                done += queue.Poll(completed);
                spinner.SpinOnce(sleep1Threshold: -1);
            }
        }));
    }

    [Fact]
    public void OwnQueue_CommandThatFails_TellsItsStatus()
    {
        using var disk = new DiskUnderTest(plug);
        using NvmeQueue queue = disk.Driver.CreateQueue();
        using DmaMemory memory = disk.Driver.AllocateMemory(4096);
        queue.TrySubmit(NvmeIoOpcode.Read, Size, 1, memory.Iova, 5);
        queue.TrySubmit(NvmeIoOpcode.Read, 0, 8, memory.Iova + (1 << 30), 6);
        queue.Announce();
        NvmeCompleted[] done = Complete(queue, 2);
        Assert.Equal(NvmeStatus.LbaOutOfRange, Array.Find(done, static c => c.Tag == 5).Status & NvmeStatus.CodeMask);
        Assert.Equal(NvmeStatus.DataTransferError, Array.Find(done, static c => c.Tag == 6).Status & NvmeStatus.CodeMask);
        Assert.True(queue.IsAlive);
    }

    [Fact]
    public void OwnQueues_UntilThereAreNoMore_AndAgainAfterOneHasGone()
    {
        using var disk = new DiskUnderTest(plug, new NvmeOptions { IoQueues = 4 });
        Assert.Equal(4, disk.Driver.GrantedQueues);
        NvmeQueue first = disk.Driver.CreateQueue();
        using NvmeQueue second = disk.Driver.CreateQueue();
        Assert.Equal((3, 4), (first.Id, second.Id));
        Assert.Equal(Errno.ENOSPC, Assert.Throws<VfioException>(() => disk.Driver.CreateQueue()).Errno);
        first.Dispose();
        first.Dispose();
        using NvmeQueue third = disk.Driver.CreateQueue();
        Assert.Equal(3, third.Id);
    }

    [Fact]
    public void OwnQueue_AfterAReset_IsOfNoUse()
    {
        using var disk = new DiskUnderTest(plug);
        using NvmeQueue queue = disk.Driver.CreateQueue();
        Assert.True(queue.IsAlive);
        disk.Driver.Reset();
        Assert.False(queue.IsAlive);
        Assert.False(queue.TrySubmit(NvmeIoOpcode.Flush, 0, 1, 0));
        using NvmeQueue another = disk.Driver.CreateQueue();
        Assert.True(another.IsAlive);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void OwnQueue_AfterItOrItsDriverWasDisposed_DoesNothing(bool driverToo)
    {
        using var disk = new DiskUnderTest(plug);
        NvmeQueue queue = disk.Driver.CreateQueue();
        DmaMemory memory = disk.Driver.AllocateMemory(4096);
        Assert.True(queue.TrySubmit(NvmeIoOpcode.Read, 0, 8, memory.Iova));
        if (driverToo)
        {
            disk.Driver.Dispose();
        }
        else
        {
            queue.Dispose();
        }

        Assert.False(queue.IsAlive);
        Assert.Equal(0, queue.Poll(new NvmeCompleted[4]));
        Assert.Equal(Errno.ECANCELED, queue.Announce());
        Assert.False(queue.TrySubmit(NvmeIoOpcode.Read, 0, 8, memory.Iova));
        queue.Dispose();
        memory.Dispose();
        Assert.Throws<ObjectDisposedException>(() => memory.Bytes.Length);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(65537)]
    public void OwnQueue_NumbersOfBlocksThatNoCommandHolds_AreNotSubmitted(int blocks)
    {
        using var disk = new DiskUnderTest(plug);
        using NvmeQueue queue = disk.Driver.CreateQueue();
        Assert.False(queue.TrySubmit(NvmeIoOpcode.WriteZeroes, 0, blocks, 0));
        Assert.Equal(0, queue.Outstanding);
        Assert.True(queue.TrySubmit(NvmeIoOpcode.WriteZeroes, 0, 1, 0));
    }

    private static NvmeCompleted[] Complete(NvmeQueue queue, int count)
    {
        var completed = new List<NvmeCompleted>();
        var some = new NvmeCompleted[4];
        Assert.True(
            SpinWait.SpinUntil(
                () =>
                {
                    completed.AddRange(some[..queue.Poll(some)]);
                    return completed.Count >= count;
                },
                Patience),
            $"{completed.Count} of {count} completed; {queue.Fault}");
        return [.. completed];
    }
}
