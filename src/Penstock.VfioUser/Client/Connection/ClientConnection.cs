using System.Diagnostics;
using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>
/// A connection to a server that several threads use at once. Commands are in flight by id. There is no thread between a caller and the socket:
/// whoever waits for a reply reads, also what is for others, unless somebody reads already; then he sleeps until his reply is there or
/// the reader has gone (leader and followers). A thread of the connection's own reads while nobody waits.
/// A connection that has failed stays so: everything in flight and later gets an error, and nobody waits.
/// </summary>
internal sealed partial class ClientConnection : IDisposable
{
    /// <summary>How many commands may be in flight.</summary>
    public const int MostCalls = 1 << IndexBits;

    /// <summary>So many commands may get no reply in time before the server counts as dead.</summary>
    public const int MostTimeouts = 16;

    /// <summary>So many may wait for one with nobody waiting, cancelled ones included: fewer than there are ids for one place.</summary>
    private const int MostAbandoned = 512;

    private const int IndexBits = 6;
    private const int IdCount = 1 << 16;
    private const int BitsOfWord = 64;

    /// <summary>The id of commands that want no reply; none that wants one has it.</summary>
    private const ushort PostedId = ushort.MaxValue;

    private const int Closed = 1 << 30;

    /// <summary>How often a thread that waits looks up: for its own end of time, and against a wake-up that got lost.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(50);

    private readonly VfioUserClientOptions _options;
    private readonly ResourceLedger? _ledger;
    private readonly ClientChannel _main;
    private readonly DmaService _dma;
    private readonly ClientExchange[] _exchanges = new ClientExchange[MostCalls];
    private readonly Stack<ClientExchange> _free = new(MostCalls);
    private readonly SemaphoreSlim _available = new(MostCalls);
    private readonly ManualResetEventSlim _allLeft = new(false, 0);
    private readonly ulong[] _abandoned = new ulong[IdCount / BitsOfWord];
    private readonly byte[] _message = new byte[VfioUserLimits.MaximumMessage];

    // Ids, who is in flight, and whether the connection has failed. Never held while anything waits.
    private readonly Lock _table = new();
    private ClientChannel? _twin;
    private int _generation;
    private int _abandonedCount;
    private int _timeouts;
    private int _users;
    private volatile string? _failure;
    private volatile OpenDeadline? _deadline;

    /// <summary>Takes a connected socket; the other side has said nothing yet.</summary>
    /// <param name="socket">The socket; from now on the connection's.</param>
    /// <param name="options">How the server is treated.</param>
    /// <param name="memory">What the server's messages reach now; null for nothing.</param>
    /// <param name="deadline">See <see cref="Deadline"/>.</param>
    public ClientConnection(UnixSocket socket, VfioUserClientOptions options, Func<Vfio.SoftwareDomain?> memory, OpenDeadline? deadline = null)
    {
        _options = options;
        _deadline = deadline;
        _ledger = options.Ledger;
        ReplyTime = options.ReplyTime;
        try
        {
            _main = new ClientChannel(socket, _ledger);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        try
        {
            _dma = new DmaService(this, memory);
            for (int i = 0; i < MostCalls; i++)
            {
                _exchanges[i] = new ClientExchange(i);
                _free.Push(_exchanges[i]);
            }

            Peer = socket.GetPeerCredentials();
            socket.SetReceiveTimeout(Tick);
            _wake = EventDescriptor.Create(_ledger);
            StartPump();
        }
        catch
        {
            _main.Dispose();
            _wake?.Dispose();
            throw;
        }
    }

    /// <summary>Why the connection is of no more use; null while it works.</summary>
    public string? Failure => _failure;

    /// <summary>
    /// Called once when the connection fails by itself, on any thread, maybe with a call in progress: it must not wait, and not dispose the connection.
    /// </summary>
    public Action<string>? Lost { get; set; }

    /// <summary>How long the server may take.</summary>
    public TimeSpan ReplyTime { get; set; }

    /// <summary>When no command may wait any longer, whatever <see cref="ReplyTime"/> grants it; null for never.</summary>
    public OpenDeadline? Deadline
    {
        get => _deadline;
        set => _deadline = value;
    }

    /// <summary>What the server said that it accepts; before the negotiation the protocol's defaults.</summary>
    public PeerLimits Limits { get; private set; } = new();

    /// <summary>The version that both sides speak.</summary>
    public Version Version { get; private set; } = new(0, 0);

    /// <summary>Whether the server's commands have a socket of their own.</summary>
    public bool HasTwin => _twin is not null;

    /// <summary>Who serves, as the kernel says.</summary>
    public PeerCredentials Peer { get; }

    private bool IsClosing => (Volatile.Read(ref _users) & Closed) != 0;

    /// <summary>Ends the connection and waits until no call and no thread is in it any more.</summary>
    public void Dispose()
    {
        if ((Interlocked.Or(ref _users, Closed) & Closed) != 0)
        {
            return;
        }

        Fail(Errno.ENOTCONN, "the connection was closed here");
        while ((Volatile.Read(ref _users) & ~Closed) != 0)
        {
            _allLeft.Wait(Tick);
        }

        JoinPumps();
        _main.Dispose();
        _twin?.Dispose();
        _wake.Dispose();
        _available.Dispose();
        _allLeft.Dispose();
        _leaderGone.Dispose();
        Array.ForEach(_exchanges, static e => e.Dispose());
    }

    /// <summary>Whoever uses the sockets is counted: they are closed when nobody does any more.</summary>
    internal bool TryEnter()
    {
        if ((Interlocked.Increment(ref _users) & Closed) == 0)
        {
            return true;
        }

        Leave();
        return false;
    }

    internal void Leave()
    {
        if (Interlocked.Decrement(ref _users) == Closed)
        {
            _allLeft.Set();
        }
    }

    /// <summary>Everything in flight and later fails. May be called from any thread, also by one that leads.</summary>
    internal void Fail(Errno errno, string why)
    {
        lock (_table)
        {
            if (_failure is not null)
            {
                return;
            }

            _failure = why;
            foreach (ClientExchange exchange in _exchanges)
            {
                exchange?.TrySettle(errno, why);
            }
        }

        _main.Socket.Shutdown();
        _twin?.Socket.Shutdown();
        if (!IsClosing)
        {
            _options.Log?.Invoke($"the connection to the server has ended: {why}");
            Lost?.Invoke(why);
        }

        Nudge();
    }

    private ClientExchange? Rent(long begun)
    {
        if (!_available.Wait(0))
        {
            // Others fill the connection; they end in time.
            TimeSpan left = Left(begun);
            if (left <= TimeSpan.Zero || !_available.Wait(left))
            {
                return null;
            }
        }

        lock (_table)
        {
            return _free.Pop();
        }
    }

    /// <summary>Lets a reply find the exchange: just before the message goes out, for what was not sent cannot be answered.</summary>
    private bool TryPublish(ClientExchange exchange)
    {
        lock (_table)
        {
            if (_failure is { } why)
            {
                exchange.TrySettle(Errno.ENOTCONN, why);
                return false;
            }

            do
            {
                _generation++;
                exchange.Id = (ushort)((_generation << IndexBits) | exchange.Index);
            }
            while (exchange.Id == PostedId || IsAbandoned(exchange.Id));
            exchange.IsPublished = true;
            return true;
        }
    }

    /// <summary>Gives an exchange back. One without a reply leaves its id behind: the reply may come yet.</summary>
    private void Return(ClientExchange exchange, bool wasSent)
    {
        bool dead = false;
        lock (_table)
        {
            if (exchange.IsPublished && wasSent && !exchange.IsAnswered && _failure is null)
            {
                _abandoned[exchange.Id / BitsOfWord] |= 1ul << (exchange.Id % BitsOfWord);
                _timeouts += exchange.Result == Errno.ETIMEDOUT ? 1 : 0;
                dead = ++_abandonedCount > MostAbandoned || _timeouts > MostTimeouts;
            }

            exchange.Recycle();
            _free.Push(exchange);
        }

        _available.Release();
        if (dead)
        {
            Fail(Errno.ETIMEDOUT, $"more than {MostTimeouts} commands have got no reply in time, or {MostAbandoned} none at all");
        }
    }

    private bool IsAbandoned(ushort id) => (_abandoned[id / BitsOfWord] & (1ul << (id % BitsOfWord))) != 0;

    private TimeSpan Left(long begun)
    {
        TimeSpan left = ReplyTime - Stopwatch.GetElapsedTime(begun);
        return _deadline is { } deadline && deadline.Left < left ? deadline.Left : left;
    }
}
