using System.Globalization;

namespace Penstock.VfioUser;

/// <summary>
/// Writes every message of a session to a text file: a line each, <c>&gt;</c> for the client's and <c>&lt;</c> for the server's, the number of
/// descriptors, then all bytes in hexadecimal. A file that can take no more ends the recording, not the session. May be called from any
/// thread.
/// </summary>
public sealed class MessageRecorder : IMessageObserver, IDisposable
{
    private readonly StreamWriter _file;
    private readonly string _path;
    private readonly Action<string>? _log;
    private readonly Lock _gate = new();
    private bool _full;

    private MessageRecorder(StreamWriter file, string path, Action<string>? log)
    {
        _file = file;
        _path = path;
        _log = log;
    }

    /// <summary>Starts a file, replacing what was there.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="log">Told in one line when the file can take no more.</param>
    /// <returns>The recorder.</returns>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static MessageRecorder Create(string path, Action<string>? log = null) => new(new StreamWriter(path, append: false), path, log);

    /// <inheritdoc/>
    public void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors)
    {
        lock (_gate)
        {
            if (_full)
            {
                return;
            }

            try
            {
                _file.Write(fromClient ? '>' : '<');
                _file.Write(' ');
                _file.Write(descriptors.ToString(CultureInfo.InvariantCulture));
                _file.Write(' ');
                _file.WriteLine(Convert.ToHexStringLower(message));
            }
            catch (IOException e)
            {
                Stop(e);
            }
        }
    }

    /// <summary>Finishes the file.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            try
            {
                _file.Dispose();
            }
            catch (IOException e)
            {
                Stop(e);
            }
        }
    }

    private void Stop(IOException why)
    {
        if (!_full)
        {
            _full = true;
            _log?.Invoke($"the recording '{_path}' is not complete: {why.Message}; make room and record again");
        }
    }
}
