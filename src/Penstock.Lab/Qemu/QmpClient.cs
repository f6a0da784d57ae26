using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Penstock.Lab.Qemu;

/// <summary>QEMU's machine protocol: one JSON object a line; commands are answered in order, events come in between.</summary>
internal sealed class QmpClient : IDisposable
{
    private readonly Socket _socket;
    private readonly StreamReader _reader;
    private readonly SemaphoreSlim _oneAtATime = new(1);

    public QmpClient(Socket socket)
    {
        _socket = socket;
        _reader = new StreamReader(new NetworkStream(socket), Encoding.UTF8);
    }

    /// <summary>Reads the greeting and leaves negotiation; QEMU answers this once all devices are made.</summary>
    public async Task NegotiateAsync(CancellationToken cancellation)
    {
        await ReadAsync(cancellation).ConfigureAwait(false);
        await ExecuteAsync("""{"execute":"qmp_capabilities"}""", cancellation).ConfigureAwait(false);
    }

    /// <summary>Sends a command as it stands and returns what it returns.</summary>
    public async Task<JsonElement> ExecuteAsync(string command, CancellationToken cancellation)
    {
        await _oneAtATime.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            await _socket.SendAsync(Encoding.UTF8.GetBytes(command + "\n"), SocketFlags.None, cancellation).ConfigureAwait(false);
            while (true)
            {
                var answer = await ReadAsync(cancellation).ConfigureAwait(false);
                if (answer.TryGetProperty("return", out var result))
                {
                    return result;
                }

                if (answer.TryGetProperty("error", out var error))
                {
                    throw new LabException($"QEMU refuses {command}: {error.GetProperty("desc").GetString()}; correct the command");
                }
            }
        }
        catch (Exception e) when (e is SocketException or IOException or ObjectDisposedException)
        {
            throw new LabException($"QEMU has ended and cannot take {command}; send it while the guest runs", e);
        }
        finally
        {
            _oneAtATime.Release();
        }
    }

    public void Dispose()
    {
        _reader.Dispose();
        _socket.Dispose();
        _oneAtATime.Dispose();
    }

    private async Task<JsonElement> ReadAsync(CancellationToken cancellation)
    {
        var line = await _reader.ReadLineAsync(cancellation).ConfigureAwait(false) ?? throw new IOException("QEMU closed its QMP socket");
        using var document = JsonDocument.Parse(line);
        return document.RootElement.Clone();
    }
}
