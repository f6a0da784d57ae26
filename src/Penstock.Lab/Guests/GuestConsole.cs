using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace Penstock.Lab;

/// <summary>The guest's console: collects what it shows, tells complete lines, and lets others wait for one.</summary>
internal sealed partial class GuestConsole : IDisposable
{
    private const int MaxChars = 32 << 20;

    private readonly Lock _lock = new();
    private readonly StringBuilder _text = new();
    private readonly StringBuilder _line = new();
    private readonly List<string> _unread = [];
    private readonly Action<string> _sink;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Socket? _socket;
    private bool _ended;

    public GuestConsole(Action<string> sink) => _sink = sink;

    /// <summary>The exit status in the last verdict so far.</summary>
    public int? ExitStatus { get; private set; }

    public string Text
    {
        get
        {
            lock (_lock)
            {
                return _text.ToString();
            }
        }
    }

    /// <summary>Reads until the other end closes.</summary>
    public async Task ReadAsync(Socket socket)
    {
        _socket = socket;
        var bytes = new byte[4096];
        var chars = new char[4096];
        var decoder = Encoding.UTF8.GetDecoder();
        try
        {
            while (await socket.ReceiveAsync(bytes).ConfigureAwait(false) is > 0 and var count)
            {
                var length = decoder.GetChars(bytes.AsSpan(0, count), chars, flush: false);
                Take(chars.AsSpan(0, length));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // QEMU was killed.
        }
        finally
        {
            End();
        }
    }

    public async Task SendLineAsync(string line, CancellationToken cancellation)
    {
        try
        {
            await _socket!.SendAsync(Encoding.UTF8.GetBytes(line + "\n"), SocketFlags.None, cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw new LabException("the guest has ended and reads no more lines; send them while it runs", e);
        }
    }

    /// <summary>Waits for a line that fits, first among those that came after the last line waited for.</summary>
    public async Task<string> WaitForLineAsync(string what, Func<string, bool> fits, TimeSpan timeout, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(timeout);
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (_unread.FindIndex(l => fits(l)) is >= 0 and var at)
                {
                    var line = _unread[at];
                    _unread.RemoveRange(0, at + 1);
                    return line;
                }

                if (_ended)
                {
                    throw new LabException($"the guest ended before its console showed {what}; its last lines:\n{Tail()}");
                }

                changed = _changed.Task;
            }

            try
            {
                await changed.WaitAsync(limit.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                throw new LabException($"the guest's console did not show {what} within {timeout.TotalSeconds:F0} s; its last lines:\n{Tail()}");
            }
        }
    }

    /// <summary>The last lines, for error texts.</summary>
    public string Tail()
    {
        // Few: test runners show the beginning of a text, and the newest lines are at its end.
        const int Lines = 7;
        return string.Join('\n', Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).TakeLast(Lines));
    }

    public void Dispose() => _socket?.Dispose();

    internal void Take(ReadOnlySpan<char> chars)
    {
        var lines = new List<string>();
        lock (_lock)
        {
            foreach (var c in chars)
            {
                if (c == '\r')
                {
                    continue;
                }

                _text.Append(c);
                if (c != '\n')
                {
                    _line.Append(c);
                    continue;
                }

                var line = _line.ToString();
                _line.Clear();
                lines.Add(line);
                if (Verdict().Match(line) is { Success: true } verdict)
                {
                    ExitStatus = int.Parse(verdict.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture);
                }
            }

            if (_text.Length > MaxChars)
            {
                _text.Remove(0, _text.Length / 2);
            }

            _unread.AddRange(lines);
        }

        lines.ForEach(Tell);
        Wake();
    }

    private void End()
    {
        string last;
        lock (_lock)
        {
            last = _line.ToString();
            _line.Clear();
            if (last.Length > 0)
            {
                _unread.Add(last);
            }

            _ended = true;
        }

        if (last.Length > 0)
        {
            Tell(last);
        }

        Wake();
    }

    private void Tell(string line)
    {
        try
        {
            _sink(line);
        }
        catch (Exception)
        {
            // A listener's fault must not stop the console: QEMU would block on a full socket.
        }
    }

    private void Wake()
    {
        TaskCompletionSource changed;
        lock (_lock)
        {
            changed = _changed;
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        changed.SetResult();
    }

    [GeneratedRegex(@"penstock-lab: exit (\d{1,3})")]
    private static partial Regex Verdict();
}
