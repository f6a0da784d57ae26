using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <content>
/// The connection's own threads. The main one sees the server's end at once, and reads the server's commands while nobody waits for a reply. As
/// long as nothing says that such commands come on this socket it does not look at incoming bytes, so that a reply wakes only its caller.
/// </content>
internal sealed partial class ClientConnection
{
    /// <summary>How often the socket is looked at for commands of a server that has memory with descriptors, and should need none.</summary>
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    private readonly ManualResetEventSlim _leaderGone = new(false, 0);
    private readonly EventDescriptor _wake;
    private Thread? _pump;
    private Thread? _twinPump;
    private bool _pumpWaits;
    private volatile bool _serves;
    private volatile bool _looks;

    /// <summary>The server has memory here: it should not need messages for it, but may send them.</summary>
    public void ExpectCommands()
    {
        if (!_looks)
        {
            _looks = true;
            Nudge();
        }
    }

    /// <summary>The server has memory here that it can reach by messages only.</summary>
    public void ServeCommands()
    {
        if (!HasTwin)
        {
            ServeOnMainSocket();
        }
    }

    /// <summary>Makes the connection's thread look around.</summary>
    internal void Nudge() => _wake.Signal();

    private void ServeOnMainSocket()
    {
        if (!_serves)
        {
            _serves = true;
            Nudge();
        }
    }

    private void StartPump() => _pump = Start(Pump, "vfio-user client");

    private void StartTwin(UnixSocket socket)
    {
        _twin = new ClientChannel(socket, _ledger);
        _twinPump = Start(PumpTwin, "vfio-user client twin");
    }

    private Thread Start(Action work, string name)
    {
        var thread = new Thread(() =>
        {
            try
            {
                work();
            }
            catch (Exception fault)
            {
                // The last resort of a dedicated thread: nothing may leave it.
                Fail(Errno.EIO, $"a fault in the client: {fault.Message}");
            }
            finally
            {
                _ledger?.Released(ResourceKind.Thread);
            }
        })
        {
            IsBackground = true,
            Name = name,
        };
        _ledger?.Acquired(ResourceKind.Thread);
        thread.Start();
        return thread;
    }

    private void JoinPumps()
    {
        _pump?.Join();
        _twinPump?.Join();
    }

    private void Pump()
    {
        while (_failure is null)
        {
            bool backlog = _main.Sender.HasBacklog;
            PollEvents events = (_serves && !_main.Sender.IsOverLimit ? PollEvents.In : PollEvents.None) | (backlog ? PollEvents.Out : PollEvents.None);
            TimeSpan time = backlog ? Tick : _looks && !_serves && !HasTwin ? Look : Timeout.InfiniteTimeSpan;
            if (!Poll.Wait(_main.Socket.Descriptor, events, _wake.Descriptor.Value, time, out PollEvents happened))
            {
                _wake.TryDrain(out _);
                continue;
            }

            if (backlog)
            {
                if ((happened & ~PollEvents.In) != 0)
                {
                    Flush();
                }
                else
                {
                    CheckStuck();
                }
            }

            if (happened == PollEvents.Out)
            {
                continue;
            }

            if (TryLead())
            {
                try
                {
                    while (_failure is null && !_main.Sender.IsOverLimit && ReceiveOne(wait: false))
                    {
                    }
                }
                finally
                {
                    StopLeading();
                }
            }
            else if (happened != PollEvents.None)
            {
                WaitForLeader();
            }
        }
    }

    /// <summary>Somebody reads what has come; it would be found again and again.</summary>
    private void WaitForLeader()
    {
        _leaderGone.Reset();
        Volatile.Write(ref _pumpWaits, true);
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _leading) != 0)
        {
            _leaderGone.Wait(Tick);
        }

        Volatile.Write(ref _pumpWaits, false);
    }

    /// <summary>The twin's thread may sleep in a receive: whoever else leaves something to send there sees it off.</summary>
    internal void DrainTwin()
    {
        if (_twin is not { } twin)
        {
            return;
        }

        long begun = System.Diagnostics.Stopwatch.GetTimestamp();
        while (twin.Sender.HasBacklog && _failure is null && Left(begun) > TimeSpan.Zero)
        {
            if (Poll.Wait(twin.Socket.Descriptor, PollEvents.Out, Tick) != PollEvents.None)
            {
                FlushTwin(twin);
            }
        }
    }

    private void FlushTwin(ClientChannel twin)
    {
        twin.Sender.Gate.Enter();
        Errno errno = twin.Sender.Flush();
        twin.Sender.Gate.Exit();
        if (errno != Errno.None)
        {
            Fail(Errno.ENOTCONN, $"the server ended the twin connection ({errno})");
        }
    }

    /// <summary>Only commands come on the twin socket, and nobody else reads it.</summary>
    private void PumpTwin()
    {
        ClientChannel twin = _twin!;
        while (_failure is null)
        {
            if (twin.Sender.HasBacklog)
            {
                PollEvents wanted = twin.Sender.IsOverLimit ? PollEvents.Out : PollEvents.Out | PollEvents.In;
                if (Poll.Wait(twin.Socket.Descriptor, wanted, ReplyTime) == PollEvents.None)
                {
                    Fail(Errno.ETIMEDOUT, "the server reads nothing on its twin socket");
                    return;
                }

                FlushTwin(twin);
                if (twin.Sender.IsOverLimit || _failure is not null)
                {
                    continue;
                }
            }

            ReceiveStatus status = twin.Receiver.Receive(wait: !twin.Sender.HasBacklog, out Span<byte> message);
            if (status == ReceiveStatus.WouldBlock)
            {
                // The server made this end, and may have taken from it that a receive waits.
                Poll.Wait(twin.Socket.Descriptor, PollEvents.In, Tick);
                continue;
            }

            if (status != ReceiveStatus.Message)
            {
                Fail(Errno.ENOTCONN, $"the twin connection ended ({status})");
                return;
            }

            VfioUserHeader header = System.Runtime.InteropServices.MemoryMarshal.Read<VfioUserHeader>(message);
            if ((header.Flags & VfioUserMessageFlags.TypeMask) != VfioUserMessageFlags.Command)
            {
                Fail(Errno.EPROTO, "the server sent something other than a command on its twin socket");
                return;
            }

            _dma.Serve(twin, header, message[VfioUserHeader.Length..]);
        }
    }
}
