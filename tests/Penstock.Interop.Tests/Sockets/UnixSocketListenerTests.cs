using System.Net.Sockets;
using System.Text;

namespace Penstock.Interop.Tests.Sockets;

[System.Runtime.Versioning.SupportedOSPlatform("linux")]
public sealed class UnixSocketListenerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ResourceLedger _ledger = new();

    public void Dispose()
    {
        _folder.Dispose();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Theory]
    [InlineData('a')]
    [InlineData('é')]
    public void Listen_PathOf107Bytes_Works(char filler)
    {
        string path = PathOfLength(107, filler);
        using UnixSocketListener listener = UnixSocketListener.Listen(path, _ledger);
        using UnixSocket client = UnixSocket.Connect(path, _ledger);
        using UnixSocket? accepted = listener.Accept();
        Assert.NotNull(accepted);
        Assert.True(File.Exists(path));
    }

    [Theory]
    [InlineData('a')]
    [InlineData('é')]
    public void ListenAndConnect_PathOf108Bytes_SaySo(char filler)
    {
        string path = PathOfLength(108, filler);
        foreach (Action attempt in (Action[])[() => UnixSocketListener.Listen(path, _ledger), () => UnixSocket.Connect(path, _ledger)])
        {
            var refused = Assert.Throws<SystemCallException>(attempt);
            Assert.Equal(Errno.ENAMETOOLONG, refused.Errno);
            Assert.Contains(path, refused.Message, StringComparison.Ordinal);
            Assert.Contains("108 bytes", refused.Message, StringComparison.Ordinal);
            Assert.Contains("107", refused.Message, StringComparison.Ordinal);
        }

        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Theory]
    [InlineData("")]
    [InlineData("\0abstract")]
    [InlineData("/tmp/a\0b")]
    public void Listen_EmptyPathOrNul_IsRefused(string path) =>
        Assert.Equal(Errno.EINVAL, Assert.Throws<SystemCallException>(() => UnixSocketListener.Listen(path, _ledger)).Errno);

    [Fact]
    public void Listen_NewSocket_BelongsToTheOwnerAlone()
    {
        string path = _folder.File("socket");
        using UnixSocketListener listener = UnixSocketListener.Listen(path, _ledger);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
    }

    [Fact]
    public void Listen_StaleSocket_IsReplaced()
    {
        string path = _folder.File("socket");
        LeaveStaleSocket(path);
        using UnixSocketListener listener = UnixSocketListener.Listen(path, _ledger);
        using UnixSocket client = UnixSocket.Connect(path, _ledger);
        using UnixSocket? accepted = listener.Accept();
        Assert.NotNull(accepted);
    }

    [Fact]
    public void Listen_LiveSocket_IsNotReplacedEvenWhenItsQueueIsFull()
    {
        string path = _folder.File("socket");
        using UnixSocketListener first = UnixSocketListener.Listen(path, _ledger);
        var waiting = new List<OwnedDescriptor>();
        while (true)
        {
            var refused = Assert.Throws<SystemCallException>(() => UnixSocketListener.Listen(path, _ledger));
            Assert.Equal(("bind", path, Errno.EADDRINUSE), (refused.Call, refused.Thing, refused.Errno));
            Assert.True(File.Exists(path));
            if (Libc.TryConnect(path) is not { } client)
            {
                break;
            }

            waiting.Add(client);
        }

        // One more time, with the queue full for certain.
        Assert.Throws<SystemCallException>(() => UnixSocketListener.Listen(path, _ledger));
        waiting.ForEach(static w => w.Dispose());
        using UnixSocket? accepted = first.Accept();
        Assert.NotNull(accepted);
    }

    [Fact]
    public void Listen_RegularFileOrFolderAtThePath_IsLeftAlone()
    {
        string file = _folder.File("file");
        File.WriteAllText(file, "precious");
        Assert.Equal(Errno.EADDRINUSE, Assert.Throws<SystemCallException>(() => UnixSocketListener.Listen(file, _ledger)).Errno);
        Assert.Equal("precious", File.ReadAllText(file));
        Assert.Equal(Errno.EADDRINUSE, Assert.Throws<SystemCallException>(() => UnixSocketListener.Listen(_folder.Path, _ledger)).Errno);
    }

    [Fact]
    public void Listen_LinkToAStaleSocket_IsLeftAlone()
    {
        string path = _folder.File("link");
        string target = _folder.File("target");
        File.CreateSymbolicLink(path, target);
        using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            dead.Bind(new UnixDomainSocketEndPoint(target));
            File.Move(target, target + ".kept");
        }

        File.Move(target + ".kept", target);
        Assert.Equal(Errno.EADDRINUSE, Assert.Throws<SystemCallException>(() => UnixSocketListener.Listen(path, _ledger)).Errno);
        Assert.NotNull(new FileInfo(path).LinkTarget);
        Assert.True(File.Exists(target));
    }

    [Fact]
    public void ListenAndConnect_MissingFolder_NameCallPathAndError()
    {
        string path = _folder.File("missing/socket");
        var refused = Assert.Throws<SystemCallException>(() => UnixSocketListener.Listen(path, _ledger));
        Assert.Equal(("bind", path, Errno.ENOENT), (refused.Call, refused.Thing, refused.Errno));
        refused = Assert.Throws<SystemCallException>(() => UnixSocket.Connect(path, _ledger));
        Assert.Equal(("connect", path, Errno.ENOENT), (refused.Call, refused.Thing, refused.Errno));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Listen_WhileAnotherIsBoundAndDoesNotListenYet_LeavesItsFileAlone(bool stale)
    {
        string path = _folder.File("socket");
        if (stale)
        {
            LeaveStaleSocket(path);
        }

        BackgroundThread? second = null;
        Errno answer = Errno.None;
        using UnixSocketListener first = UnixSocketListener.Listen(path, _ledger, TimeSpan.FromMinutes(5), () =>
        {
            second = BackgroundThread.Start(() => answer = Assert.Throws<SystemCallException>(() => UnixSocketListener.Listen(path, null, TimeSpan.FromMinutes(5))).Errno);
            second.WaitUntilAsleep();
        });
        second!.Join();
        Assert.Equal(Errno.EADDRINUSE, answer);
        using UnixSocket client = UnixSocket.Connect(path, _ledger);
        using UnixSocket? accepted = first.Accept();
        Assert.NotNull(accepted);
    }

    [Fact]
    public void Listen_ManyAtOnceOnAStaleSocket_OneListensAndIsReached()
    {
        const int Rounds = 30;
        const int Starters = 4;
        string path = _folder.File("socket");
        for (int round = 0; round < Rounds; round++)
        {
            LeaveStaleSocket(path);
            var listeners = new UnixSocketListener?[Starters];
            using var together = new Barrier(Starters);
            BackgroundThread[] threads = [.. Enumerable.Range(0, Starters).Select(i => BackgroundThread.Start(() =>
            {
                together.SignalAndWait();
                try
                {
                    listeners[i] = UnixSocketListener.Listen(path, _ledger, TimeSpan.FromMinutes(5));
                }
                catch (SystemCallException refused) when (refused.Errno == Errno.EADDRINUSE)
                {
                }
            }))];
            Array.ForEach(threads, static t => t.Join());
            using UnixSocketListener winner = Assert.Single(listeners, static l => l is not null)!;
            using UnixSocket client = UnixSocket.Connect(path, _ledger);
            using UnixSocket? accepted = winner.Accept();
            Assert.NotNull(accepted);
        }
    }

    /// <summary>Anybody who may read a folder may lock it: that keeps nobody from listening.</summary>
    [Fact]
    public void Listen_FolderLockedBySomebodyElse_ListensAllTheSame()
    {
        string path = _folder.File("socket");
        LeaveStaleSocket(path);
        using OwnedDescriptor folder = DescriptorStorage.Open(_folder.Path, write: false);
        Assert.Equal(Errno.None, DescriptorStorage.TryLock(folder.Value, exclusive: true));
        using UnixSocketListener listener = UnixSocketListener.Listen(path, _ledger, TimeSpan.FromMilliseconds(20));
        using UnixSocket client = UnixSocket.Connect(path, _ledger);
        using UnixSocket? accepted = listener.Accept();
        Assert.NotNull(accepted);
    }

    [Fact]
    public void Dispose_RemovesItsOwnFileOnly()
    {
        string path = _folder.File("socket");
        UnixSocketListener listener = UnixSocketListener.Listen(path, _ledger);
        listener.Dispose();
        listener.Dispose();
        listener.Stop();
        Assert.False(File.Exists(path));

        UnixSocketListener lost = UnixSocketListener.Listen(path, _ledger);
        File.Delete(path);
        using UnixSocketListener heir = UnixSocketListener.Listen(path, _ledger);
        lost.Dispose();
        Assert.True(File.Exists(path));

        UnixSocketListener removed = UnixSocketListener.Listen(_folder.File("removed"), _ledger);
        File.Delete(removed.Path);
        removed.Dispose();
    }

    [Fact]
    public void Stop_WakesEveryAcceptAndLastsFromThenOn()
    {
        using UnixSocketListener listener = UnixSocketListener.Listen(_folder.File("socket"), _ledger);
        const int Waiters = 2;
        int refused = 0;
        BackgroundThread[] threads = [.. Enumerable.Range(0, Waiters).Select(_ => BackgroundThread.Start(() =>
        {
            if (listener.Accept() is null)
            {
                Interlocked.Increment(ref refused);
            }
        }))];
        Array.ForEach(threads, static t => t.WaitUntilAsleep());
        listener.Stop();
        Array.ForEach(threads, static t => t.Join());
        Assert.Equal(Waiters, refused);
        Assert.Null(listener.Accept());
    }

    [Fact]
    public void Accept_TwoThreadsAndOneClient_OneGetsItAndStopWakesTheOther()
    {
        string path = _folder.File("socket");
        using UnixSocketListener listener = UnixSocketListener.Listen(path, _ledger);
        int got = 0;
        BackgroundThread[] threads = [.. Enumerable.Range(0, 2).Select(_ => BackgroundThread.Start(() =>
        {
            while (listener.Accept() is { } client)
            {
                client.Dispose();
                Interlocked.Increment(ref got);
            }
        }))];
        const int Clients = 200;
        for (int i = 0; i < Clients; i++)
        {
            UnixSocket.Connect(path).Dispose();
        }

        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref got) == Clients, TimeSpan.FromMinutes(1)));
        listener.Stop();
        Array.ForEach(threads, static t => t.Join());
    }

    [Fact]
    public void Accept_NewConnection_IsCloseOnExecAndKnowsItsPeer()
    {
        string path = _folder.File("socket");
        using UnixSocketListener listener = UnixSocketListener.Listen(path, _ledger);
        using UnixSocket client = UnixSocket.Connect(path, _ledger);
        using UnixSocket? accepted = listener.Accept();
        Assert.NotNull(accepted);
        Assert.True(Libc.IsCloseOnExec(accepted.Descriptor));
        Assert.True(Libc.IsCloseOnExec(client.Descriptor));
        PeerCredentials peer = accepted.GetPeerCredentials();
        Assert.Equal((Environment.ProcessId, CurrentProcess.UserId), (peer.ProcessId, peer.UserId));
        Assert.Equal(4, _ledger.Outstanding(ResourceKind.Descriptor));
    }

    private static void LeaveStaleSocket(string path)
    {
        using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            dead.Bind(new UnixDomainSocketEndPoint(path));
            dead.Listen();
            File.Move(path, path + ".kept");
        }

        File.Move(path + ".kept", path);
    }

    /// <summary>A path of exactly so many bytes.</summary>
    private string PathOfLength(int bytes, char filler)
    {
        string path = _folder.File(string.Empty);
        int width = Encoding.UTF8.GetByteCount([filler]);
        while (Encoding.UTF8.GetByteCount(path) + width <= bytes)
        {
            path += filler;
        }

        return path.PadRight(path.Length + bytes - Encoding.UTF8.GetByteCount(path), 'a');
    }
}
