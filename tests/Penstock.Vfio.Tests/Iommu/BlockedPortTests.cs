using Penstock.Interop;

namespace Penstock.Vfio.Tests;

/// <summary>A port that is blocked, or whose group leaves, touches nothing more from the moment that the call returns.</summary>
public sealed class BlockedPortTests
{
    private const int Page = 4096;
    private const int Large = 64 << 20;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Write_LargeAndStoppedInTheMiddle_NothingIsWrittenAfterwards(bool detach)
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        (IommuGroup other, _) = rig.Second();
        VfioGroup second = rig.Host.OpenGroup(other.Number, Rig.User);
        second.SetContainer(container);
        ProcessMemory memory = rig.Memory(Large);
        container.MapDma(0, Large, DmaAccess.ReadWrite, memory, 0);
        byte[] ones = new byte[Large];
        Array.Fill(ones, (byte)1);
        Errno answer = Errno.None;
        var writer = new Thread(() =>
        {
            do
            {
                answer = rig.Port.Write(0, ones);
            }
            while (answer == Errno.None);
        });
        writer.Start();
        while (Volatile.Read(ref memory.Span(0, 1)[0]) == 0)
        {
            Thread.Yield();
        }

        if (detach)
        {
            group.UnsetContainer();
        }
        else
        {
            rig.Port.Suspend();
        }

        memory.Span(0, Large).Clear();
        writer.Join();
        Assert.Equal(detach ? Errno.EFAULT : Errno.EBUSY, answer);
        Assert.False(memory.Span(0, Large).ContainsAnyExcept((byte)0));
        rig.Port.Resume();
        group.Dispose();
        second.Dispose();
        container.Dispose();
        memory.Release();
    }

    [Fact]
    public void Write_ShortOnesFromManyThreads_NoneAfterSuspend()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        ProcessMemory memory = rig.Memory(Page);
        container.MapDma(0, Page, DmaAccess.ReadWrite, memory, 0);
        bool stop = false;
        Thread[] writers = [.. Enumerable.Range(0, 2).Select(_ => new Thread(() =>
        {
            byte[] one = [1];
            while (!Volatile.Read(ref stop))
            {
                rig.Port.Write(0, one);
            }
        }))];
        Array.ForEach(writers, static t => t.Start());
        int late = 0;
        for (int round = 0; round < 2000; round++)
        {
            rig.Port.Suspend();
            memory.Span(0, 1)[0] = 0;
            Thread.SpinWait(200);
            late += Volatile.Read(ref memory.Span(0, 1)[0]);
            rig.Port.Resume();
        }

        Volatile.Write(ref stop, true);
        Array.ForEach(writers, static t => t.Join());
        Assert.Equal(0, late);
        group.Dispose();
        container.Dispose();
        memory.Release();
    }

    [Fact]
    public async Task WriteAsync_GroupMovesToAnotherDomainMeanwhile_TheRestGoesThere()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        var channel = new FakeChannel(0, Page);
        ProcessMemory before = rig.Memory(Page);
        container.MapDma(0, Page, DmaAccess.ReadWrite, new MessageMemory(channel, 0, Page), 0);
        container.MapDma(Page, Page, DmaAccess.ReadWrite, before, 0);
        using TranslatingDomain next = rig.Unit.CreateDomain();
        ProcessMemory after = rig.Memory(2 * Page);
        next.Map(0, 2 * Page, DmaAccess.ReadWrite, after, 0);
        channel.BeforeAnswer = () => rig.Group.Attach(next);
        byte[] ones = new byte[2 * Page];
        Array.Fill(ones, (byte)1);
        Assert.Equal(Errno.None, await rig.Port.WriteAsync(0, ones));
        Assert.Equal(0, before.Span(0, 1)[0]);
        Assert.Equal(1, after.Span(Page, 1)[0]);
        group.Dispose();
        container.Dispose();
        next.Unmap(IovaRange.All);
        before.Release();
        after.Release();
    }
}
