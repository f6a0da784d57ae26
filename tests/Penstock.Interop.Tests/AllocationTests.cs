using Penstock.Interop.Tests.Sockets;

namespace Penstock.Interop.Tests;

public sealed class AllocationTests : IDisposable
{
    private const int Rounds = 2_000;
    private readonly PassedFiles _files = new(2);

    public void Dispose() => _files.Dispose();

    [Fact]
    public void Messages_AfterWarmUp_AllocateNothing()
    {
        (UnixSocket peer, UnixSocket socket) = UnixSocket.CreatePair();
        using (peer)
        using (socket)
        using (var receiver = new FramedReceiver(socket, Frames.Format, new ResourceLedger()))
        {
            byte[] message = Frames.Make(80, 1);
            int[] descriptors = _files.Numbers(0, 2);
            int sent = 0;
            int received = 0;
            Assert.Equal(0, Allocated(() =>
            {
                sent += 3;
                peer.Send(message, descriptors);
                peer.TrySend(message, out _);
                peer.Send(message);
                while (receiver.Receive(false, out _) == ReceiveStatus.Message)
                {
                    received++;
                }
            }));
            Assert.Equal(sent, received);
        }
    }

    [Fact]
    public void EventsAndWaiting_AfterWarmUp_AllocateNothing()
    {
        using EventDescriptor ev = EventDescriptor.Create();
        using EventDescriptor stop = EventDescriptor.Create();
        using var set = new ReadinessSet();
        set.Add(ev.Descriptor.Value, PollEvents.In, 1);
        var ready = new (ulong, PollEvents)[4];
        ulong signals = 0;
        ulong drained = 0;
        Assert.Equal(0, Allocated(() =>
        {
            signals++;
            ev.Signal();
            Poll.Wait(ev.Descriptor.Value, PollEvents.In, Timeout.InfiniteTimeSpan);
            Poll.Wait(ev.Descriptor.Value, PollEvents.In, stop.Descriptor.Value, Timeout.InfiniteTimeSpan, out _);
            set.Wait(ready, Timeout.InfiniteTimeSpan);
            ev.TryDrain(out ulong count);
            drained += count;
            ev.TryDrain(out _);
        }));
        Assert.Equal(signals, drained);
    }

    [Fact]
    public void CopiesThroughADescriptor_AfterWarmUp_AllocateNothing()
    {
        using MemoryFile file = MemoryFile.Create("copies", 4096);
        byte[] bytes = new byte[512];
        int moved = 0;
        int calls = 0;
        Assert.Equal(0, Allocated(() =>
        {
            DescriptorIO.WriteAt(file.Descriptor.Value, 100, bytes, out int written);
            DescriptorIO.ReadAt(file.Descriptor.Value, 100, bytes, out int read);
            moved += written + read;
            calls++;
        }));
        Assert.Equal(2 * bytes.Length * calls, moved);
    }

    /// <summary>Without it no test of what allocates nothing could fail.</summary>
    [Fact]
    public void Measure_RoundsThatAllocate_AreSeen()
    {
        object? last = null;
        Assert.InRange(AllocatedBytes.In(10, _ => last = new byte[100]), 1000, 2000);
        Assert.NotNull(last);
    }

    private static long Allocated(Action round) => AllocatedBytes.In(Rounds, _ => round());
}
