namespace Penstock.S390;

/// <summary>Walks tables (<see cref="IoTableWalk"/>).</summary>
/// <typeparam name="TReader">What reads the tables.</typeparam>
/// <param name="reader">What reads the tables.</param>
public readonly struct TableWalker<TReader>(TReader reader) : IIoWalker
    where TReader : struct, ITableReader
{
    private readonly TReader _reader = reader;

    /// <inheritdoc/>
    public IoWalk Walk(Iota iota, ulong iova) => IoTableWalk.Walk(in _reader, iota, iova);
}
