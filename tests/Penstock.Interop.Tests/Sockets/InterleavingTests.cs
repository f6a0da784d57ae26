namespace Penstock.Interop.Tests.Sockets;

/// <summary>The rule of greedy reading, in all orders of sends and receives.</summary>
public sealed class InterleavingTests : IDisposable
{
    // Header only, small, longer than one piece of a socket's queue, and the longest that is accepted.
    private static readonly int[] Sizes = [Frames.Header, 100, 40 * 1024, Frames.Maximum];
    private readonly PassedFiles _files = new(15);

    public void Dispose() => _files.Dispose();

    [Theory]
    [InlineData(1, 0, 2)]
    [InlineData(0, 3, 1)]
    [InlineData(2, 2, 2)]
    [InlineData(0, 0, 1)]
    [InlineData(3, 0, 0)]
    public void Receive_ThreeMessagesOfEverySize_EachHasItsOwnDescriptors(int first, int second, int third)
    {
        foreach (int a in Sizes)
        {
            foreach (int b in Sizes)
            {
                foreach (int c in Sizes)
                {
                    var script = new Interleaving(_files, (a, first, default), (b, second, default), (c, third, default));
                    script.PlayAll();
                    Assert.Equal(0, script.Exact);
                }
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void Receive_FiveMessagesDrawnBySeed_EachHasItsOwnDescriptors(int seed)
    {
        var random = new Random(seed);
        int[] sizes = [Frames.Header, Frames.Header + 1, 100, 4096, 40 * 1024, 70_000];
        new Interleaving(_files, [.. Enumerable.Range(0, 5).Select(_ => (sizes[random.Next(sizes.Length)], random.Next(4), SendStyle.Whole))]).PlayAll();
    }

    [Fact]
    public void Receive_FiveMessagesWithAllCountsOfDescriptors_EachHasItsOwnDescriptors()
    {
        int[] counts = [0, 1, 3];
        for (int plan = 0; plan < 3 * 3 * 3 * 3 * 3; plan++)
        {
            int rest = plan;
            var script = new Interleaving(_files, [.. Enumerable.Range(0, 5).Select(i =>
            {
                int count = counts[rest % 3];
                rest /= 3;
                return (i % 2 == 0 ? 60 : Frames.Header, count, SendStyle.Whole);
            })]);
            script.PlayAll();
            Assert.Equal(0, script.Exact);
        }
    }

    [Theory]
    [InlineData(SendStyle.Whole)]
    [InlineData(SendStyle.HeaderFirst)]
    [InlineData(SendStyle.ThreeBytesFirst)]
    [InlineData(SendStyle.DescriptorsOnBody)]
    public void Receive_ThroughASmallSocketBuffer_EachHasItsOwnDescriptors(SendStyle style)
    {
        foreach (int size in Sizes[1..])
        {
            var script = new Interleaving(_files, (size, 2, style), (Frames.Header, 1, SendStyle.Whole), (size, 0, SendStyle.Whole), (size, 3, style))
            {
                SendBuffer = 1,
            };
            script.PlayAll();
        }
    }

    [Fact]
    public void Receive_MessagesCutIntoSeveralCalls_EachHasItsOwnDescriptors()
    {
        SendStyle[] styles = Enum.GetValues<SendStyle>();
        foreach (SendStyle a in styles)
        {
            foreach (SendStyle b in styles)
            {
                new Interleaving(_files, (100, 1, a), (40 * 1024, 2, b), (Frames.Header, 1, SendStyle.Whole)).PlayAll();
            }
        }
    }

    [Theory]
    [InlineData(SendStyle.HeaderFirst)]
    [InlineData(SendStyle.ThreeBytesFirst)]
    [InlineData(SendStyle.FourCalls)]
    public void Receive_LongMessagesWhoseHeaderComesAlone_StayGreedy(SendStyle style)
    {
        var script = new Interleaving(_files, (Frames.Maximum, 3, style), (Frames.Maximum - 1, 0, style));
        script.PlayAll();
        Assert.Equal(0, script.Exact);
    }

    [Fact]
    public void Receive_DescriptorsOnTheBody_SwitchesToExactReading()
    {
        var script = new Interleaving(_files, (100, 2, SendStyle.DescriptorsOnBody), (100, 1, SendStyle.Whole));
        script.PlayAll();

        // In the orders that receive between header and body; where both arrive in one read nothing is broken.
        Assert.InRange(script.Exact, 1, script.Orders - 1);
    }

    [Theory]
    [InlineData(SendStyle.Whole)]
    [InlineData(SendStyle.HeaderFirst)]
    [InlineData(SendStyle.ThreeBytesFirst)]
    [InlineData(SendStyle.DescriptorsOnSecondCall)]
    [InlineData(SendStyle.DescriptorsOnBody)]
    public void Receive_AfterTheRuleWasBroken_GoesOnInAllOrders(SendStyle style)
    {
        var script = new Interleaving(_files, (Frames.Header + 4, 3, style), (40 * 1024, 1, style), (100, 2, SendStyle.Whole)) { StartExact = true };
        script.PlayAll();
        Assert.Equal(script.Orders, script.Exact);
    }

    [Fact]
    public void Receive_TwoMessagesInOneCall_GivesTheLastOneTheDescriptors()
    {
        // The limit of the rule: nothing on the wire tells this from two calls, of which the second carried the descriptors.
        var ledger = new ResourceLedger();
        (UnixSocket sender, UnixSocket socket) = UnixSocket.CreatePair();
        using (sender)
        using (socket)
        {
            using (var receiver = new FramedReceiver(socket, Frames.Format, ledger))
            {
                byte[] first = Frames.Make(100, 1);
                byte[] second = Frames.Make(200, 2);
                sender.Send([.. first, .. second], _files.Numbers(0, 2));
                Assert.Equal(ReceiveStatus.Message, receiver.Receive(false, out Span<byte> bytes));
                Assert.Equal(first, bytes.ToArray());
                Assert.Equal(0, receiver.DescriptorCount);
                Assert.Equal(ReceiveStatus.Message, receiver.Receive(false, out bytes));
                Assert.Equal(second, bytes.ToArray());
                Assert.Equal(2, receiver.DescriptorCount);
                Assert.False(receiver.IsExact);

                // A peer that showed its ways before is read exactly, and the header's own call decides.
                sender.Send(first.AsSpan(0, 50));
                Assert.Equal(ReceiveStatus.WouldBlock, receiver.Receive(false, out _));
                sender.Send(first.AsSpan(50), _files.Numbers(0, 1));
                Assert.Equal(ReceiveStatus.Message, receiver.Receive(false, out _));
                Assert.True(receiver.IsExact);
                sender.Send([.. first, .. second], _files.Numbers(0, 2));
                Assert.Equal(ReceiveStatus.Message, receiver.Receive(false, out _));
                Assert.Equal(2, receiver.DescriptorCount);
                Assert.Equal(ReceiveStatus.Message, receiver.Receive(false, out _));
                Assert.Equal(0, receiver.DescriptorCount);
            }

            Assert.Equal("nothing", ledger.ToString());
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Receive_FromASenderOnAnotherThread_LosesAndMixesNothing(int seed)
    {
        const int Messages = 2_000;
        var random = new Random(seed);
        (int Size, int First, int Count)[] plan = [.. Enumerable.Range(0, Messages).Select(i =>
            (i % 100 == 7 ? Frames.Maximum : Frames.Header + random.Next(5_000), random.Next(12), random.Next(3) == 0 ? random.Next(4) : 0))];
        (UnixSocket sender, UnixSocket socket) = UnixSocket.CreatePair();
        using (sender)
        using (socket)
        using (var receiver = new FramedReceiver(socket, Frames.Format))
        {
            BackgroundThread thread = BackgroundThread.Start(() =>
            {
                for (int i = 0; i < Messages; i++)
                {
                    sender.Send(Frames.Make(plan[i].Size, i), _files.Numbers(plan[i].First, plan[i].Count));
                }

                sender.Shutdown();
            });
            for (int i = 0; i < Messages; i++)
            {
                Assert.Equal(ReceiveStatus.Message, receiver.Receive(true, out Span<byte> bytes));
                Assert.True(bytes.SequenceEqual(Frames.Make(plan[i].Size, i)), $"message {i} is damaged");
                Assert.Equal(plan[i].Count, receiver.DescriptorCount);
                for (int d = 0; d < plan[i].Count; d++)
                {
                    using OwnedDescriptor descriptor = receiver.TakeDescriptor(d);
                    Assert.Equal(plan[i].First + d, _files.IndexOf(descriptor));
                }
            }

            Assert.Equal(ReceiveStatus.End, receiver.Receive(true, out _));
            Assert.False(receiver.IsExact);
            thread.Join();
        }
    }
}
