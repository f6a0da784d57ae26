namespace Penstock.VfioUser;

/// <summary>Sees every message of a session, for recording. Called on the thread that sends or receives.</summary>
public interface IMessageObserver
{
    /// <summary>A whole message.</summary>
    /// <param name="fromClient">Direction.</param>
    /// <param name="message">Header and payload; valid during the call.</param>
    /// <param name="descriptors">How many descriptors came with it.</param>
    void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors);
}
