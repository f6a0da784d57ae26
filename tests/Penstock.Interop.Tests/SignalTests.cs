using Penstock.Interop.Tests.Sockets;

namespace Penstock.Interop.Tests;

/// <summary>Signals interrupt system calls of the waiting thread; nobody outside may see it.</summary>
public sealed class SignalTests : IDisposable
{
    private const long Enough = 100;
    private readonly PassedFiles _files = new(3);

    public void Dispose() => _files.Dispose();

    [Fact]
    public void SignalsOfTheseTests_InterruptACall_OrTheOthersProveNothing() =>
        SignalledThread.Run(static _ => Assert.Equal(Errno.EINTR, Libc.RawPoll(120_000)));

    [Fact]
    public void Receive_UnderSignals_LosesNothing()
    {
        const int Messages = 400;
        (UnixSocket peer, UnixSocket socket) = UnixSocket.CreatePair();
        using (peer)
        using (socket)
        using (var receiver = new FramedReceiver(socket, Frames.Format))
        {
            SignalledThread.Run(sent =>
            {
                BackgroundThread sender = BackgroundThread.Start(() =>
                {
                    for (int i = 0; i < Messages; i++)
                    {
                        // Let the receiver fall asleep and be signalled there.
                        long until = sent() + 1;
                        SpinWait.SpinUntil(() => sent() > until);
                        peer.Send(Frames.Make(i % 50 == 0 ? Frames.Maximum : 100, i), _files.Numbers(0, i % 4));
                    }
                });
                for (int i = 0; i < Messages; i++)
                {
                    Assert.Equal(ReceiveStatus.Message, receiver.Receive(true, out Span<byte> bytes));
                    Assert.True(bytes.SequenceEqual(Frames.Make(i % 50 == 0 ? Frames.Maximum : 100, i)), $"message {i} is damaged");
                    Assert.Equal(i % 4, receiver.DescriptorCount);
                }

                Assert.InRange(sent(), Messages, long.MaxValue);
                sender.Join();
            });
        }
    }

    [Fact]
    public void Send_UnderSignalsToASlowReader_LosesNothing()
    {
        const int Messages = 40;
        (UnixSocket peer, UnixSocket socket) = UnixSocket.CreatePair();
        using (peer)
        using (socket)
        using (var receiver = new FramedReceiver(socket, Frames.Format))
        {
            SignalledThread.Run(sent =>
            {
                int damaged = 0;
                BackgroundThread reader = BackgroundThread.Start(() =>
                {
                    for (int i = 0; i < Messages; i++)
                    {
                        long until = sent() + 3;
                        SpinWait.SpinUntil(() => sent() > until);
                        bool good = receiver.Receive(true, out Span<byte> bytes) == ReceiveStatus.Message
                            && bytes.SequenceEqual(Frames.Make(Frames.Maximum, i)) && receiver.DescriptorCount == i % 4;
                        damaged += good ? 0 : 1;
                    }
                });
                for (int i = 0; i < Messages; i++)
                {
                    peer.Send(Frames.Make(Frames.Maximum, i), _files.Numbers(0, i % 4));
                }

                reader.Join();
                Assert.Equal(0, damaged);
            });
        }
    }

    [Fact]
    public void Waits_UnderSignals_EndWithTheEventOnly()
    {
        using EventDescriptor ev = EventDescriptor.Create();
        using EventDescriptor stop = EventDescriptor.Create();
        using var set = new ReadinessSet();
        set.Add(ev.Descriptor.Value, PollEvents.In, 7);
        SignalledThread.Run(sent =>
        {
            Assert.Equal(PollEvents.In, AfterSignals(() => Poll.Wait(ev.Descriptor.Value, PollEvents.In, Timeout.InfiniteTimeSpan)));
            Assert.True(AfterSignals(() => Poll.Wait(ev.Descriptor.Value, PollEvents.In, stop.Descriptor.Value, Timeout.InfiniteTimeSpan, out _)));
            var ready = new (ulong Tag, PollEvents Events)[2];
            Assert.Equal(1, AfterSignals(() => set.Wait(ready, Timeout.InfiniteTimeSpan)));
            Assert.Equal((7ul, PollEvents.In), ready[0]);

            // A wait with an end comes to it, however often it is interrupted.
            Assert.Equal(PollEvents.None, Poll.Wait(stop.Descriptor.Value, PollEvents.In, TimeSpan.FromMilliseconds(50)));
            set.Remove(ev.Descriptor.Value);
            Assert.Equal(0, set.Wait(ready, TimeSpan.FromMilliseconds(50)));

            T AfterSignals<T>(Func<T> wait)
            {
                ev.TryDrain(out ulong _);
                BackgroundThread waker = BackgroundThread.Start(() =>
                {
                    long until = sent() + Enough;
                    SpinWait.SpinUntil(() => sent() > until);
                    _ = ev.Signal();
                });
                T result = wait();
                waker.Join();
                return result;
            }
        });
    }

    [Fact]
    public void Accept_UnderSignals_ReturnsTheClient()
    {
        using var folder = new TemporaryFolder();
        using UnixSocketListener listener = UnixSocketListener.Listen(folder.File("socket"));
        SignalledThread.Run(sent =>
        {
            BackgroundThread client = BackgroundThread.Start(() =>
            {
                long until = sent() + Enough;
                SpinWait.SpinUntil(() => sent() > until);
                UnixSocket.Connect(listener.Path).Dispose();
            });
            using UnixSocket? accepted = listener.Accept();
            Assert.NotNull(accepted);
            client.Join();
        });
    }
}
