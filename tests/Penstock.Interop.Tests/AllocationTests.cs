using Penstock.Interop.Tests.Sockets;

namespace Penstock.Interop.Tests;

public sealed class AllocationTests : IDisposable
{
    private const int WarmUp = 200;
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
            int received = 0;
            Assert.Equal(0, Allocated(() =>
            {
                peer.Send(message, descriptors);
                peer.TrySend(message, out _);
                peer.Send(message);
                while (receiver.Receive(false, out _) == ReceiveStatus.Message)
                {
                    received++;
                }
            }));
            Assert.Equal(3 * (WarmUp + Rounds), received);
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
        ulong drained = 0;
        Assert.Equal(0, Allocated(() =>
        {
            ev.Signal();
            Poll.Wait(ev.Descriptor.Value, PollEvents.In, Timeout.InfiniteTimeSpan);
            Poll.Wait(ev.Descriptor.Value, PollEvents.In, stop.Descriptor.Value, Timeout.InfiniteTimeSpan, out _);
            set.Wait(ready, Timeout.InfiniteTimeSpan);
            ev.TryDrain(out ulong count);
            drained += count;
            ev.TryDrain(out _);
        }));
        Assert.Equal((ulong)(WarmUp + Rounds), drained);
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

    private static long Allocated(Action round)
    {
        for (int i = 0; i < WarmUp; i++)
        {
            round();
        }

        // A collection that other tests cause may be booked here; what this allocated itself would be there in each window.
        long least = long.MaxValue;
        for (int window = 0; window < 5 && least != 0; window++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < Rounds; i++)
            {
                round();
            }

            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
