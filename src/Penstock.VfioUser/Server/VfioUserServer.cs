using Penstock.Interop;

namespace Penstock.VfioUser;

/// <summary>
/// Serves one device on one socket: one client at a time, one after another, however each ends. Start, Stop and Wait may be
/// called from any thread.
/// </summary>
public sealed class VfioUserServer : IDisposable
{
    private static readonly TimeSpan ShortageWait = TimeSpan.FromMilliseconds(500);

    private readonly VfioUserEndpoint _endpoint;
    private readonly VfioUserServerOptions _options;
    private readonly UnixSocketListener _listener;
    private readonly Thread _thread;
    private readonly Lock _guard = new();
    private VfioUserSession? _session;
    private volatile bool _stopping;
    private bool _started;

    /// <summary>Starts to listen; clients are served after <see cref="Start"/>.</summary>
    /// <param name="endpoint">The device.</param>
    /// <param name="path">Path of the socket, at most 107 bytes.</param>
    /// <param name="options">How clients are treated.</param>
    /// <exception cref="SystemCallException">The path cannot be listened on; see <see cref="UnixSocketListener.Listen"/>.</exception>
    public VfioUserServer(VfioUserEndpoint endpoint, string path, VfioUserServerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        _endpoint = endpoint;
        _options = options ?? new VfioUserServerOptions();
        _listener = UnixSocketListener.Listen(path, endpoint.Host.Ledger);
        _thread = new Thread(Run) { IsBackground = true, Name = $"vfio-user {endpoint.DeviceName}" };
    }

    /// <summary>Path of the socket.</summary>
    public string Path => _listener.Path;

    /// <summary>Sessions that have ended.</summary>
    public int SessionsEnded { get; private set; }

    /// <summary>Eventfds that the present session keeps; 0 without one.</summary>
    internal int WatchedEventfds
    {
        get
        {
            lock (_guard)
            {
                return _session?.WatchedEventfds ?? 0;
            }
        }
    }

    /// <summary>Starts to serve on a thread of its own.</summary>
    public void Start()
    {
        _started = true;
        _endpoint.Host.Ledger.Acquired(ResourceKind.Thread);
        _thread.Start();
    }

    /// <summary>Waits until serving has ended: after <see cref="Stop"/>, or after the first client with <see cref="VfioUserServerOptions.Once"/>.</summary>
    /// <param name="time">How long, or <see cref="Timeout.InfiniteTimeSpan"/>.</param>
    /// <returns>Whether it has ended.</returns>
    public bool Wait(TimeSpan time) => !_started || (!IsOwnThread && _thread.Join(time));

    /// <summary>Ends the present session and accepts no more.</summary>
    public void Stop()
    {
        lock (_guard)
        {
            _stopping = true;
            _session?.Stop();
            _listener.Stop();
        }
    }

    /// <summary>Stops, waits, and removes the socket. A handler of <see cref="VfioUserServerOptions.ClientEnded"/> may call it; then it does not wait.</summary>
    public void Dispose()
    {
        Stop();
        if (!IsOwnThread)
        {
            Wait(Timeout.InfiniteTimeSpan);
        }

        _listener.Dispose();
    }

    private bool IsOwnThread => Thread.CurrentThread == _thread;

    private void Run()
    {
        try
        {
            if (_options.Processor is int processor)
            {
                ProcessPlacement.PinCurrentThread(processor);
            }

            while (!_stopping && AcceptNext(out UnixSocket? socket))
            {
                if (socket is not null && Serve(socket) && _options.Once)
                {
                    return;
                }
            }
        }
        catch (Exception fault)
        {
            // The last resort of a dedicated thread: nothing may leave it.
            _options.Log?.Invoke($"serving {_endpoint.DeviceName} ended: {fault.Message}");
        }
        finally
        {
            _endpoint.Host.Ledger.Released(ResourceKind.Thread);
        }
    }

    /// <returns>False after <see cref="Stop"/>. No socket when the process has no descriptor left for a client just now.</returns>
    private bool AcceptNext(out UnixSocket? socket)
    {
        try
        {
            socket = _listener.Accept();
            return socket is not null;
        }
        catch (SystemCallException shortage) when (shortage.Errno is Errno.EMFILE or Errno.ENFILE or Errno.ENOMEM)
        {
            _options.Log?.Invoke($"a client waits: {shortage.Message}");
            Thread.Sleep(ShortageWait);
            socket = null;
            return true;
        }
    }

    /// <returns>Whether it was a client: one that leaves without a word only looked whether somebody listens.</returns>
    private bool Serve(UnixSocket socket)
    {
        VfioUserSession session;
        try
        {
            session = new VfioUserSession(_endpoint, _options, socket);
        }
        catch (Exception fault)
        {
            socket.Dispose();
            _options.Log?.Invoke($"a client could not be served: {fault.Message}");
            return true;
        }

        SessionEnd end;
        bool spoke;
        using (session)
        {
            lock (_guard)
            {
                _session = session;
                if (_stopping)
                {
                    session.Stop();
                }
            }

            end = session.Run();
            spoke = session.IsNegotiated;
            lock (_guard)
            {
                _session = null;
            }
        }

        SessionsEnded++;
        _options.Log?.Invoke(end.IsExpected ? $"client gone: {end.Reason}" : $"client disconnected: {end.Reason}");
        try
        {
            _options.ClientEnded?.Invoke(end);
        }
        catch (Exception fault)
        {
            _options.Log?.Invoke($"the handler of ended clients failed: {fault}");
        }

        return spoke || end.Kind != SessionEndKind.ClientClosed;
    }
}
