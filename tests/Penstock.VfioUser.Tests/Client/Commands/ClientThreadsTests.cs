using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>One connection, several threads.</summary>
public sealed class ClientThreadsTests
{
    private const int Threads = 8;
    private const int Rounds = 500;

    [Fact]
    public void ManyThreads_EachGetsItsOwnReply()
    {
        using var served = new ServedFunction();
        using (var client = VfioUserClient.Connect(served.Path, Patient.NoTwin))
        {
            client.Write(Cmd.ConfigRegion, 4, [7, 0]);
            for (int i = 0; i < WireFunction.StorageSize; i++)
            {
                served.Function.Storage[i] = (byte)(i >> 8);
            }

            RunAll(Threads, t =>
            {
                byte[] data = new byte[64];
                for (int i = 0; i < Rounds; i++)
                {
                    int at = ((t * 997) + (i * 61)) % 4000 * 256;
                    Assert.Equal(Errno.None, client.TryRead(0, (ulong)at, data, out _));
                    Assert.False(data.AsSpan().ContainsAnyExcept((byte)(at >> 8)), "another command's bytes");
                }
            });
        }

        served.NextEnd();
    }

    [Fact]
    public void Replies_InAnotherOrder_FindTheirCommands() => FakeServer.Talk(
        static s =>
        {
            for (int round = 0; round < 50; round++)
            {
                List<WireMessage> commands = [.. Enumerable.Range(0, Threads).Select(_ => s.Expect(Cmd.RegionRead))];
                commands.Reverse();
                commands.ForEach(m => s.Reply(m, [.. m.Body, m.Body[0]]));
            }
        },
        static c => RunAll(Threads, t =>
        {
            byte[] data = new byte[1];
            for (int i = 0; i < 50; i++)
            {
                Assert.Equal(Errno.None, c.TryRead(0, (ulong)t, data, out _));
                Assert.Equal(t, data[0]);
            }
        }));

    [Fact]
    public void MoreThreadsThanCommandsInFlight_AllGetThrough() => FakeServer.Talk(
        static s =>
        {
            for (int i = 0; i < 3 * ClientConnection.MostCalls; i++)
            {
                s.Reply(s.Expect(Cmd.Reset), []);
            }
        },
        static c => RunAll(3 * ClientConnection.MostCalls, _ => c.Reset()));

    [Fact]
    public void ServerGone_AllWaitersFail() => FakeServer.Talk(
        static s =>
        {
            for (int i = 0; i < Threads; i++)
            {
                s.Expect(Cmd.RegionRead);
            }

            s.Hangup();
        },
        static c => RunAll(Threads, _ => Assert.Equal(Errno.ENOTCONN, c.TryRead(0, 0, new byte[4], out int _))),
        new VfioUserClientOptions { ReplyTime = TimeSpan.FromMinutes(10) });

    [Fact]
    public void Disposed_WhileOthersWait_TheyFailAndNothingIsLeft()
    {
        using var allCame = new ManualResetEventSlim();
        FakeServer.Talk(
            s =>
            {
                for (int i = 0; i < Threads; i++)
                {
                    s.Expect(Cmd.RegionRead);
                }

                allCame.Set();
                s.AwaitEnd();
            },
            c =>
            {
                var closer = new Thread(() =>
                {
                    allCame.Wait(Patient.Time);
                    c.Dispose();
                })
                {
                    IsBackground = true,
                };
                closer.Start();
                RunAll(Threads, _ => Assert.Equal(Errno.ENOTCONN, c.TryRead(0, 0, new byte[4], out int _)));
                closer.Join();
                Assert.Equal(Errno.ENOTCONN, c.TryRead(0, 0, new byte[4], out int _));
            },
            new VfioUserClientOptions { ReplyTime = TimeSpan.FromMinutes(10) });
    }

    [Fact]
    public void MessageDma_BesideManyCommands_BothWays()
    {
        using var served = new ServedFunction();
        using (var client = VfioUserClient.Connect(served.Path, Patient.NoTwin))
        {
            client.Write(Cmd.ConfigRegion, 4, [7, 0]);
            var memory = ProcessMemory.Allocate(1 << 20);
            client.MapDma(DmaWire.Base, 1 << 20, DmaAccess.ReadWrite, memory);
            int finished = 0;
            Task<int> dma = served.OnStrand(() =>
            {
                byte[] data = new byte[4096];
                int done = 0;
                do
                {
                    Assert.Equal(Errno.None, served.DmaWrite(DmaWire.Base + ((ulong)done % 16 * 4096), data));
                    Assert.Equal(Errno.None, served.DmaRead(DmaWire.Base, data));
                    done++;
                }
                while (Volatile.Read(ref finished) == 0);

                return done;
            });
            RunAll(4, t =>
            {
                byte[] data = new byte[4];
                for (int i = 0; i < 300; i++)
                {
                    Assert.Equal(Errno.None, client.TryRead(0, (ulong)t * 4, data, out _));
                }
            });
            Volatile.Write(ref finished, 1);
            Assert.True(ResultOf(dma) > 0);
            client.UnmapDma(DmaWire.Base, 1 << 20);
            memory.Release();
        }

        served.NextEnd();
    }

    [Fact]
    public void Idle_Client_ServesTheServer()
    {
        using var served = new ServedFunction();
        foreach (bool twin in (bool[])[true, false])
        {
            using (var client = VfioUserClient.Connect(served.Path, Patient.Client with { TwinSocket = twin }))
            {
                Assert.Equal(twin, client.HasTwinSocket);
                client.Write(Cmd.ConfigRegion, 4, [7, 0]);
                var memory = ProcessMemory.Allocate(4096);
                memory.Span(0, 1)[0] = 77;
                client.MapDma(DmaWire.Base, 4096, DmaAccess.ReadWrite, memory);
                Task<byte> read = served.OnStrand(() =>
                {
                    byte[] data = new byte[1];
                    Assert.Equal(Errno.None, served.DmaRead(DmaWire.Base, data));
                    return data[0];
                });
                Assert.Equal(77, ResultOf(read));
                memory.Release();
            }

            served.NextEnd();
        }
    }

    [Fact]
    public void Access_AllocatesNothing()
    {
        using var served = new ServedFunction();
        using (var client = VfioUserClient.Connect(served.Path, Patient.NoTwin))
        {
            client.Write(Cmd.ConfigRegion, 4, [7, 0]);
            byte[] data = new byte[64];
            Assert.Equal(0, AllocatedBytes.In(500, _ =>
            {
                client.TryRead(0, 0, data, out _);
                client.TryWrite(0, 0, data, out _);
                client.TryWrite(0, 0, data, out _, posted: true);
            }));
        }

        served.NextEnd();
    }

    private static T ResultOf<T>(Task<T> task)
    {
        Handles.Await(() => task.IsCompleted, "work on the strand");
        return task.GetAwaiter().GetResult();
    }

    private static void RunAll(int count, Action<int> work)
    {
        var faults = new System.Collections.Concurrent.ConcurrentQueue<Exception>();
        Thread[] threads = [.. Enumerable.Range(0, count).Select(t => new Thread(() =>
        {
            try
            {
                work(t);
            }
            catch (Exception e)
            {
                faults.Enqueue(e);
            }
        })
        {
            IsBackground = true,
        })];
        Array.ForEach(threads, static t => t.Start());
        Array.ForEach(threads, static t => Assert.True(t.Join(TimeSpan.FromMinutes(3)), "a thread hangs"));
        Assert.Empty(faults);
    }
}
