namespace Penstock.Interop.Tests.Sockets;

/// <summary>
/// Plays one script of messages against one receiver, on one thread, in every order of sends and receives: after each send call
/// either no receive, one, or as many as there is something for. Every message must come whole, in order, with exactly its own descriptors.
/// </summary>
internal sealed class Interleaving
{
    private const int Choices = 3;
    private readonly Message[] _script;
    private readonly Call[] _calls;
    private readonly PassedFiles _files;

    public Interleaving(PassedFiles files, params (int Size, int Descriptors, SendStyle Style)[] script)
    {
        _files = files;
        int next = 0;
        _script = [.. script.Select((m, i) => new Message(Frames.Make(m.Size, i), (next += m.Descriptors) - m.Descriptors, m.Descriptors, m.Style))];
        _calls = [.. _script.SelectMany(Cut)];
    }

    /// <summary>Makes the sender break the rule first, so that the receiver is reading exactly.</summary>
    public bool StartExact { get; init; }

    /// <summary>Bytes of the sender's socket buffer, 0 for the usual; the kernel cuts what is sent into pieces of about half of it.</summary>
    public int SendBuffer { get; init; }

    /// <summary>How often a receiver of this script found the rule broken.</summary>
    public int Exact { get; private set; }

    public int Orders => (int)Math.Pow(Choices, _calls.Length - 1);

    public void PlayAll()
    {
        for (int order = 0; order < Orders; order++)
        {
            Play(order);
        }
    }

    private void Play(int order)
    {
        var ledger = new ResourceLedger();
        (UnixSocket sender, UnixSocket socket) = UnixSocket.CreatePair(ledger);
        using (sender)
        using (socket)
        using (var receiver = new FramedReceiver(socket, Frames.Format, ledger))
        {
            if (SendBuffer > 0)
            {
                Libc.SetSendBuffer(sender.Descriptor, SendBuffer);
            }

            var arrived = new Arrivals(this, receiver, order);
            if (StartExact)
            {
                BreakTheRule(sender, receiver);
            }

            int choices = order;
            foreach (Call call in _calls)
            {
                for (int done = 0; done < call.Bytes.Length;)
                {
                    int sent = Libc.SendNow(sender.Descriptor, call.Bytes.Span[done..], done == 0 ? call.Descriptors : []);
                    done += sent;
                    if (sent == 0)
                    {
                        // The socket holds no more; a real sender would wait here for the receiver.
                        arrived.Receive();
                    }
                }

                int choice = choices % Choices;
                choices /= Choices;
                if (choice == 1)
                {
                    arrived.Receive();
                }
                else if (choice == 2)
                {
                    arrived.ReceiveAll();
                }
            }

            arrived.ReceiveAll();
            Assert.True(_script.Length == arrived.Count, $"order {order}: {arrived.Count} messages arrived");
            Assert.Equal(2, ledger.Outstanding(ResourceKind.Descriptor));
            Exact += receiver.IsExact ? 1 : 0;
        }

        Assert.Equal("nothing", ledger.ToString());
    }

    private void BreakTheRule(UnixSocket sender, FramedReceiver receiver)
    {
        byte[] message = Frames.Make(100, 1);
        sender.Send(message.AsSpan(0, 50));
        Assert.Equal(ReceiveStatus.WouldBlock, receiver.Receive(false, out _));
        sender.Send(message.AsSpan(50), _files.Numbers(0, 1));
        Assert.Equal(ReceiveStatus.Message, receiver.Receive(false, out _));
        Assert.True(receiver.IsExact);
    }

    private IEnumerable<Call> Cut(Message m)
    {
        int[] ends = m.Style switch
        {
            SendStyle.HeaderFirst or SendStyle.DescriptorsOnBody => [Frames.Header],
            SendStyle.ThreeBytesFirst or SendStyle.DescriptorsOnSecondCall => [3],
            SendStyle.FourCalls => [3, Frames.Header, (Frames.Header + m.Bytes.Length) / 2],
            _ => [],
        };
        int carrier = m.Style is SendStyle.DescriptorsOnSecondCall or SendStyle.DescriptorsOnBody ? 1 : 0;
        int start = 0;
        for (int i = 0; i <= ends.Length; i++)
        {
            int end = i < ends.Length ? ends[i] : m.Bytes.Length;
            yield return new Call(m.Bytes.AsMemory(start, end - start), i == carrier ? _files.Numbers(m.First, m.Descriptors) : []);
            start = end;
        }
    }

    private sealed class Arrivals(Interleaving play, FramedReceiver receiver, int order)
    {
        public int Count { get; private set; }

        public void ReceiveAll()
        {
            while (Receive())
            {
            }
        }

        public bool Receive()
        {
            ReceiveStatus status = receiver.Receive(false, out Span<byte> bytes);
            if (status == ReceiveStatus.WouldBlock)
            {
                return false;
            }

            Assert.True(status == ReceiveStatus.Message, $"order {order}: {status}");
            Message expected = play._script[Count];
            Assert.True(bytes.SequenceEqual(expected.Bytes), $"order {order}: message {Count} is damaged");
            Assert.True(
                receiver.DescriptorCount == expected.Descriptors,
                $"order {order}: message {Count} came with {receiver.DescriptorCount} descriptors, not {expected.Descriptors}");
            for (int i = 0; i < expected.Descriptors; i++)
            {
                using OwnedDescriptor descriptor = receiver.TakeDescriptor(i);
                Assert.True(
                    play._files.IndexOf(descriptor) == expected.First + i,
                    $"order {order}: message {Count} has file {play._files.IndexOf(descriptor)}, not {expected.First + i}");
            }

            Count++;
            return true;
        }
    }

    private sealed record Message(byte[] Bytes, int First, int Descriptors, SendStyle Style);

    private sealed record Call(ReadOnlyMemory<byte> Bytes, int[] Descriptors);
}
